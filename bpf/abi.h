/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * What the program and the process that steers it share: records, requests, events. `src/dataplane/kernel/layout.ts`
 * has the same offsets, and a test compares the two by the object's debug information.
 *
 * Numbers of a packet are in host byte order, addresses and ports in network byte order, times in milliseconds
 * of the monotonic clock (32 bits, they wrap; `opened` has 64).
 */
#pragma once

typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;
typedef int s32;
typedef long long s64;

/* src/flow/flow.ts: Mode. */
enum { MODE_RELAY, MODE_CLAMP, MODE_DRAIN, MODE_DIRECT, MODE_DEAD };

/* src/flow/state.ts: FLOW_STATES, in its order. */
enum {
	STATE_WATCHED,
	STATE_RELAYED,
	STATE_CLAMPING,
	STATE_CUTTING,
	STATE_STITCHED,
	STATE_CLOSING,
	STATE_CLOSED,
	STATE_REFUSED,
	STATE_BROKEN,
	STATE_COUNT,
};
#define STATE_NONE 255

/* src/flow/machine.ts: FLOW_EVENTS, in its order. */
enum {
	ON_ESTABLISH,
	ON_ENABLE,
	ON_CUT,
	ON_EMPTY,
	ON_DRAINED,
	ON_FIN,
	ON_FINISHED,
	ON_RESET,
	ON_REFUSE,
	ON_BREAK,
	ON_RELEASE,
	ON_IDLE,
	ON_COUNT,
};

/* src/flow/state.ts: the reasons, numbered from 1 in the order refusal, broken, close. */
enum {
	REASON_NONE,
	REASON_TIMESTAMPS_DIFFER,
	REASON_ECN_DIFFERS,
	REASON_TCP_MD5,
	REASON_TCP_AO,
	REASON_MPTCP_ACTIVE,
	REASON_UNKNOWN_OPTION,
	REASON_FAMILY_DIFFERS,
	REASON_HANDSHAKE_NOT_SEEN,
	REASON_OFFSETS_IMPOSSIBLE,
	REASON_CLOSING_BEFORE_CUT,
	REASON_LIMIT_REACHED,
	REASON_SHELL_LOST,
	REASON_DRAIN_TIMEOUT,
	REASON_FIN_UNACKNOWLEDGED,
	REASON_FIN,
	REASON_RESET_BY_PEER,
	REASON_RESET_BY_CORE,
	REASON_RESET_BY_SHELL,
	REASON_IDLE,
	REASON_RELEASED,
	/* Never by the program. */
	REASON_SWITCH_LOST,
};

/* Addresses in their IPv4-mapped form where they are IPv4 (RFC 4291 section 2.5.5.2). */
struct tuple {
	u32 source[4];
	u32 destination[4];
	/* Source port, destination port, as they stand in a TCP header. */
	u32 ports;
};

/*
 * How a connection is found: for IPv4 the tuple itself, for IPv6 a mix of it, so that a flow's two keys stay small. A
 * record holds the whole tuple, and what is found is compared with it.
 */
struct key {
	u32 word[4];
};

struct place {
	u32 slot;
	/* Of the record when this was written; another one means that the record serves another flow by now. */
	u16 generation;
	u16 inner;
};

/* src/flow/connection.ts: Sender. */
enum {
	SENDER_SYN_SEEN = 1,
	SENDER_SYN_ECN = 2,
	SENDER_ACK_SEEN = 4,
	SENDER_FIN_SEEN = 8,
	/* Of a restored flow: it has sent a packet since. */
	SENDER_HEARD = 16,
};

struct sender {
	u32 isn;
	u32 max;
	u32 data_max;
	u32 ack;
	u32 edge;
	u32 tsval;
	u32 tsval_at;
	u32 fin_end;
	u64 bytes;
	u16 mss;
	u16 options;
	u8 scale;
	u8 bits;
	/* Of a connection's far end: CONN_*, which have no other room. Of its shell: HASH_TOP (bpf/mapping.h). */
	u16 conn_bits;
};

/* src/flow/connection.ts: Connection. */
enum {
	CONN_TIMESTAMPS = 1,
	CONN_SACK = 2,
	CONN_ECN = 4,
	CONN_TOLD_ANY = 8,
	CONN_ESTABLISHED = 16,
	CONN_FIN_REPORTED = 32,
	CONN_RESET_BY_FAR = 64,
	CONN_RESET_BY_SHELL = 128,
	CONN_FIN_HELD = 256,
	CONN_RESET_HELD = 512,
	CONN_FIN_SENT = 1024,
	/* Of a flow that was taken over from another switch: bpf/restore.h. */
	CONN_RESTORED = 2048,
	/* Of a copy (bpf/carry.h): STEERED_AT (bpf/restore.h) is set; all packets are the leader's by now. */
	CONN_STEERED = 4096,
	CONN_YIELDED = 8192,
	/* ASKED_AT is set: bpf/share.h. */
	CONN_ASKED = 16384,
};

struct conn {
	struct sender far;
	struct sender shell;
	/* Of the far end. */
	u64 packets;
	/* Of packets from the far end to the shell. */
	struct tuple tuple;
	u32 told_ack;
	u32 told_edge;
	u32 told_max;
	u32 told_tsval;
	u32 told_shell_ack;
	u32 told_shell_edge;
	u32 delta;
	u32 ts_delta;
	u32 transparent_from;
	u32 cut;
	u32 cut_max;
};

enum {
	/* Joined with an inner connection; without it this is a connection of its own. */
	FLOW_PAIRED = 1,
	/* A new connection has taken this one's tuple over. */
	FLOW_SUPERSEDED = 2,
	/* The teardown mode, and how often a FIN that went on was repeated. */
	FLOW_TEARDOWN = 0x0c,
	FLOW_RESENDS = 0xf0,
};
#define FLOW_TEARDOWN_SHIFT 2
#define FLOW_RESENDS_SHIFT 4

/* src/flow/state.ts: TEARDOWN_MODES, in its order. */
enum { TEARDOWN_CORE, TEARDOWN_CONTROL, TEARDOWN_SHELL, TEARDOWN_BOTH };

struct flow {
	struct bpf_spin_lock lock;
	u8 mode;
	u8 state;
	u8 reason;
	u8 bits;
	/* Odd while the record is in use; it counts on when that begins and when it ends. */
	u32 generation;
	/* When a packet of either connection passed last. */
	u32 last_at;
	char id[16];
	u64 opened;
	/* Beginning of each state from STATE_RELAYED on, since `opened`, plus 1; 0 for never. */
	u32 at[STATE_COUNT - 1];
	u32 deadline;
	u32 to_shell_packets;
	u32 to_shell_bytes;
	u32 resend_at;
	struct conn conn[2];
};

/* Which ports of an address are carried: one bit a port. */
#define PORT_WORDS 2048
struct owned {
	u32 ports[PORT_WORDS];
};

enum { EVENT_STATE, EVENT_FIN, EVENT_RST, EVENT_FORGOTTEN, EVENT_MISS };
enum { FROM_NOBODY, FROM_PEER, FROM_CORE };

struct event {
	u32 slot;
	u32 generation;
	u8 kind;
	u8 state;
	u8 reason;
	u8 from;
	u32 to_shell_packets;
	u32 to_shell_bytes;
	/* Of a FIN or RST, as its sender sent it; `held` when it goes on only after an answer. */
	u32 payload_length;
	u64 opened;
	u64 packets[2];
	u64 bytes[2];
	char id[16];
	u32 at[STATE_COUNT - 1];
	u32 seq;
	u32 ack;
	u16 window;
	u8 flags;
	u8 held;
	u32 unused;
};

/* A discovery datagram's frame from its Ethernet header on; of a longer one, which is none of ours, the beginning. */
#define DATAGRAM_BYTES 512
struct datagram {
	u32 ifindex;
	u32 length;
	u8 bytes[DATAGRAM_BYTES];
};

/* A request to the control program: the payload of an Ethernet frame that it is run on. */
enum { ASK_PAIR, ASK_ENABLE, ASK_CLOSE, ASK_TICK, ASK_FORGET, ASK_IDLE, ASK_PROCEED, ASK_UNLEARN };

struct request {
	u32 ask;
	u32 slot;
	u32 generation;
	/* For the routes of what it sends. */
	u32 ifindex;
	u64 consumed[2];
	u64 injected[2];
	struct tuple outer;
	struct tuple inner;
	char id[16];
	/* Of ASK_ENABLE, and of ASK_PROCEED. */
	u32 teardown;
	u32 from;
};

/* While this switch follows another one: the way to that one on a link, and the link header of what goes there. */
struct leader {
	u8 known;
	u8 macs[12];
	u8 unused[3];
};

enum { ANSWER_DONE, ANSWER_UNKNOWN, ANSWER_OUTER_TAKEN, ANSWER_INNER_TAKEN, ANSWER_FULL, ANSWER_STATE };

struct reply {
	u32 answer;
	u32 slot;
	u32 generation;
	u32 state;
	/* Milliseconds until the flow is to be ticked, 0 for never. */
	u32 due;
};

/* Packets, by what became of them; the process sums over processors. */
enum {
	COUNT_RECEIVED,
	COUNT_HOST,
	COUNT_PASSED,
	COUNT_TRANSLATED,
	COUNT_MADE,
	COUNT_FRAGMENTS,
	COUNT_MALFORMED,
	COUNT_UNTRACKED,
	COUNT_SWALLOWED,
	COUNT_LIMIT_REACHED,
	COUNT_TOO_BIG,
	COUNT_NO_ROUTE,
	COUNT_NO_NEIGHBOUR,
	COUNT_SEND_FAILED,
	COUNT_EVENTS_LOST,
	COUNT_ICMP_TRANSLATED,
	/* Of a switch that follows: translated by a copy, sent to the leader, left to the host, and told to the process. */
	COUNT_CARRIED,
	COUNT_STEERED,
	COUNT_UNSTEERED,
	COUNT_MISSED,
	COUNT_COUNT,
};

/* Packets as the test build hands them out in place of sending them. */
#define TEST_PACKETS 16
#define TEST_BYTES 2048
struct test_packet {
	u32 length;
	u8 bytes[TEST_BYTES];
};
