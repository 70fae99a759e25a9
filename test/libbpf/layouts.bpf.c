/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Never loaded: every shape of type that the layout generator meets. */
#include <linux/bpf.h>
#include <linux/types.h>
#include <stdbool.h>
#include <bpf/bpf_helpers.h>

enum color {
	COLOR_RED = 1,
	COLOR_DARK_BLUE = 2,
};

enum shade {
	SHADE_LIGHT = -1,
	SHADE_NONE = 0,
};

enum limits {
	SMALLEST,
	LARGEST = 0x7fffffff,
};

struct inner {
	__u8 bytes[4];
	__be16 port;
	__u16 pad;
};

struct numbers {
	__u8 u8;
	__s8 s8;
	__u16 u16;
	__s16 s16;
	__u32 u32;
	__s32 s32;
	__u64 u64;
	__s64 s64;
	__be16 be16;
	__be32 be32;
	__be64 be64;
	bool flag;
	enum color color;
	enum shade shade;
};

struct everything {
	__u8 first; /* then a hole of 7 bytes */
	__u64 counters[2];
	__u32 many[20];
	struct inner nested;
	struct inner both[2];
	char name[8];
	union {
		__u32 v4;
		__u8 v6[16];
	} address;
	struct {
		__u16 left;
		__u16 right;
	};
	__u32 last_one;
};

struct packed_key {
	__u32 prefix;
	__u8 tag;
	__be16 port;
	__u64 id;
} __attribute__((packed));

struct unseen {
	__u32 nobody_uses_this;
};

struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__type(key, struct packed_key);
	__type(value, struct everything);
	__uint(max_entries, 16);
	__uint(map_flags, BPF_F_NO_PREALLOC);
} entries SEC(".maps");

struct inner_map {
	__uint(type, BPF_MAP_TYPE_HASH);
	__type(key, __u32);
	__type(value, struct inner);
	__uint(max_entries, 16);
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH_OF_MAPS);
	__type(key, __u32);
	__uint(max_entries, 16);
	__array(values, struct inner_map);
} outer SEC(".maps");

struct numbers *exported_numbers;
enum limits *exported_limits;

char LICENSE[] SEC("license") = "Dual BSD/GPL";
