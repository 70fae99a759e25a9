/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * harden: what containers may do to their host, by LSM hooks.
 */

#include "lib/judge-path.h"
#include "lib/harden-entry.h"
#include "lib/harden-files.h"
#include "lib/harden-names.h"
#include "lib/harden-exec.h"
#include "lib/capabilities.h"
#include "lib/facilities.h"
#include "lib/local-sockets.h"
#include "lib/others.h"
#include "lib/users.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
