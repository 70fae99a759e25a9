// SPDX-License-Identifier: Apache-2.0
//
// A connection as conntrack tells it in netlink attributes.
#pragma once

#include <cstddef>
#include <cstdint>

#include <libmnl/libmnl.h>

namespace netfilter {

// Of the connection's original direction; as bytes: source, destination, ports (network order), protocol, IP version.
struct Original {
  uint8_t source[16];
  uint8_t destination[16];
  uint16_t source_port;
  uint16_t destination_port;
  uint8_t protocol;
  uint8_t version;
  uint8_t padding[2];
};
static_assert(sizeof(Original) == 40);

// Attributes side by side.
struct Attributes {
  const char* begin;
  const char* end;
};

Attributes AttributesOf(const nlattr* parent);

// Reads CTA_TUPLE_ORIG among a connection's attributes. False where it is not there, or not whole.
bool OriginalOf(Attributes connection, Original* original);

}  // namespace netfilter
