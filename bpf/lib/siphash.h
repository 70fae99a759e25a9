/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef SALLYPORT_SIPHASH_H
#define SALLYPORT_SIPHASH_H

/*
 * SipHash-2-4 (Aumasson and Bernstein, 2012) of a message of exactly 24 bytes: three words and the block that bears
 * the length. Straight on, in registers: a MAC costs no memory and no loop.
 */

#include "kernel.h"

#define SIPHASH_BYTES 24

/* A word as it is in memory where bytes are little-endian, and back. */
static __always_inline __u64 little_endian(__u64 word)
{
	return __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? word : __builtin_bswap64(word);
}

#define SIPHASH_TURN(x, bits) ((x) << (bits) | (x) >> (64 - (bits)))

#define SIPHASH_ROUND(a, b, c, d)           \
	do {                                \
		(a) += (b);                 \
		(c) += (d);                 \
		(b) = SIPHASH_TURN(b, 13);  \
		(d) = SIPHASH_TURN(d, 16);  \
		(b) ^= (a);                 \
		(d) ^= (c);                 \
		(a) = SIPHASH_TURN(a, 32);  \
		(c) += (b);                 \
		(a) += (d);                 \
		(b) = SIPHASH_TURN(b, 17);  \
		(d) = SIPHASH_TURN(d, 21);  \
		(b) ^= (c);                 \
		(d) ^= (a);                 \
		(c) = SIPHASH_TURN(c, 32);  \
	} while (0)

#define SIPHASH_BLOCK(a, b, c, d, word)    \
	do {                               \
		(d) ^= (word);             \
		SIPHASH_ROUND(a, b, c, d); \
		SIPHASH_ROUND(a, b, c, d); \
		(a) ^= (word);             \
	} while (0)

/* The message's words are little-endian numbers, and so is the result. */
static __always_inline __u64 siphash(const __u64 key[2], __u64 first, __u64 second, __u64 third)
{
	__u64 a = key[0] ^ 0x736f6d6570736575ULL;
	__u64 b = key[1] ^ 0x646f72616e646f6dULL;
	__u64 c = key[0] ^ 0x6c7967656e657261ULL;
	__u64 d = key[1] ^ 0x7465646279746573ULL;

	SIPHASH_BLOCK(a, b, c, d, first);
	SIPHASH_BLOCK(a, b, c, d, second);
	SIPHASH_BLOCK(a, b, c, d, third);
	SIPHASH_BLOCK(a, b, c, d, (__u64)SIPHASH_BYTES << 56);
	c ^= 0xff;
	SIPHASH_ROUND(a, b, c, d);
	SIPHASH_ROUND(a, b, c, d);
	SIPHASH_ROUND(a, b, c, d);
	SIPHASH_ROUND(a, b, c, d);
	return a ^ b ^ c ^ d;
}

#endif
