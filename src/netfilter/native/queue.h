// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <deque>
#include <vector>

#include "handle.h"

namespace netfilter {

// The watcher of watch.cc; lives until libuv's close callback, which may be after the queue.
struct Watcher;
void CloseWatcher(Watcher* watcher);

class QueueHandle : public Handle {
 public:
  static constexpr Kind kKind = Kind::kQueue;
  // Takes over the descriptor and the mapping.
  QueueHandle(int fd, uint16_t number, uint8_t* slots, size_t slot_bytes)
      : Handle(kKind), fd(fd), number(number), slots(slots), slot_bytes(slot_bytes) {}
  ~QueueHandle() override { Close(); }

  // Datagrams that one recvmmsg(2) takes at most; the bound of what one wake-up does.
  static constexpr size_t kBatch = 64;

  const int fd;
  const uint16_t number;
  // kBatch places of slot_bytes each. Only pages that packets have touched take memory.
  uint8_t* const slots;
  const size_t slot_bytes;
  // Packets that came between the binding and its acknowledgement.
  std::deque<std::vector<uint8_t>> early;
  // Verdicts on their way to one sendto(2).
  std::vector<uint8_t> outgoing;
  Watcher* watcher = nullptr;

  uint64_t received = 0;
  uint64_t verdict_errors = 0;
  uint64_t overruns = 0;

 protected:
  void Release() override;
};

}  // namespace netfilter
