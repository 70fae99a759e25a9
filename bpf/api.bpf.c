/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * api: no program. Names the types of api/ that user space reads and that no map's key or value is, so that they
 * are in an object's BTF, from which the TypeScript layouts are generated.
 */

#include "lib/kernel.h"
#include "api/types.h"
#include "api/policy.h"
#include "api/endpoint.h"
#include "api/flow.h"
#include "api/event.h"
#include "api/peer.h"
#include "api/harden.h"
#include "api/gate.h"

enum direction *direction;
enum verdict *verdict;
enum slot *slot;
enum reason *reason;
enum incident *incident;
enum rank *rank;
enum class_flags *class_flags;
enum interface_flags *interface_flags;
enum container_flags *container_flags;
enum owner_flags *owner_flags;
enum backend_flags *backend_flags;
enum flow_state *flow_state;
enum flow_flags *flow_flags;
enum event_kind *event_kind;
enum cgroup_operation *cgroup_operation;
struct event_head *event_head;
struct verdict_event *verdict_event;
struct taken_head *taken_head;
struct cgroup_event *cgroup_event;
enum refusal *refusal;
enum domain_flags *domain_flags;
enum verified_flags *verified_flags;
struct peer_event *peer_event;
struct claim_payload *claim_payload;
struct receiver_question *receiver_question;
struct receiver *receiver;
struct tag_option *tag_option;
struct tag_owner *tag_owner;
enum access *access;
enum operation *operation;
enum mount_operation *mount_operation;
enum mount_flags *mount_flags;
enum hardening_class *hardening_class;
enum profile_format *profile_format;
enum bearer_flags *bearer_flags;
enum subject_flags *subject_flags;
struct profile *profile;
struct match *match;
struct ruling *ruling;
struct cell *cell;
struct violation_event *violation_event;
struct hardened_subject *hardened_subject;
struct hardened_cgroup *hardened_cgroup;
struct anchor_key *anchor_key;
struct anchor *anchor;
struct violation_key *violation_key;
struct violation_counter *violation_counter;
enum gate_format *gate_format;
enum gate_accept *gate_accept;
enum gate_flags *gate_flags;
enum gate_operation *gate_operation;
enum gate_count *gate_count;
struct gate_event *gate_event;
