/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* The maps, what one packet is worked on in, and the settings that the process makes before it loads the program. */
#pragma once

/* Sizes are set at load time from the config's `limits.flows`; everything is allocated then. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct flow);
} flows SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2);
	__type(key, struct key);
	__type(value, struct place);
} connections SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_STACK);
	__uint(max_entries, 1);
	__uint(value_size, sizeof(u32));
} free_slots SEC(".maps");

struct address {
	u32 word[4];
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, struct owned);
} owners SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4 << 20);
} events SEC(".maps");

/* Some hundred: who gets no answer asks again. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 64 << 10);
} datagrams SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNT_COUNT);
	__type(key, u32);
	__type(value, u64);
} counters SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct reply);
} replies SEC(".maps");

/* Connections that belong to no flow yet: at most `max_unpaired`. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} unpaired SEC(".maps");

/* By interface; without an entry this switch leads. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 256);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, u32);
	__type(value, struct leader);
} leaders SEC(".maps");

/* The addresses of all shells of the group. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 4096);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address);
	__type(value, u32);
} shells SEC(".maps");

/* Packets without a copy that the process was told of, and when. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct key);
	__type(value, u32);
} misses SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, u32);
} last_miss SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, TEST_PACKETS);
	__type(key, u32);
	__type(value, struct test_packet);
} test_packets SEC(".maps");

/* In milliseconds and bytes; src/flow/options.ts has their meaning. */
const volatile u32 clamp_deadline = 200;
const volatile u32 drain_limit = 30000;
const volatile u32 teardown_limit = 5000;
const volatile u32 clamp_cap = 1 << 20;
const volatile u32 max_unpaired = 65536;
/* The UDP port of discovery; 0 for none. */
const volatile u32 discovery_port = 0;
/* Other switches of the group carry packets too. */
const volatile u8 shared = 0;
/* BPF_F_IPV6 where the kernel knows it, else 0. */
const volatile u32 ipv6_flag = 0;
/* The test build: the clock is `test_clock`, and packets go to `test_packets`. */
const volatile u8 testing = 0;
u64 test_clock = 0;
u32 test_count = 0;

/* A TCP segment as numbers: src/wire/segment.ts. */
struct segment {
	u32 seq;
	u32 ack;
	u32 payload_length;
	u16 flags;
	u16 window;
	u16 urgent;
	u16 options;
	u16 mss;
	u8 scale;
	u8 sack_count;
	u32 tsval;
	u32 tsecr;
	u32 sack_left[4];
	u32 sack_right[4];
};

struct emission {
	struct segment segment;
	struct tuple tuple;
	u8 made;
	u8 to_shell;
	u16 unused;
	/* Of its hash, where it is to have another than the packet at hand: see hash_to_far in mapping.h. */
	u32 hash_top;
};

/* What a lookup found. For some milliseconds it is not asked again: a lookup costs as much as the rest of a packet. */
struct route {
	struct tuple tuple;
	u32 from_ifindex;
	/* The largest packet that it was found to take. */
	u32 size;
	/* When it was asked. */
	u32 at;
	u32 ifindex;
	struct bpf_redir_neigh next;
};

#define ROUTES 4
#define MAX_OUT 8
#define MAX_MOVES 8
#define HEADER_BYTES 64

/* All about the packet at hand. Per processor, so that it is not on the stack, which is small. */
struct work {
	struct tuple tuple;
	struct tuple reversed;
	struct segment segment;
	u32 now;
	u64 now_long;
	/* Offsets into the frame. */
	u32 l3;
	u32 l4;
	u32 end;
	u32 header_length;
	u32 is_ipv6;
	u32 ttl;
	u32 ifindex;
	/* Of the packet's hash as it came, and as it is to be when it goes on to the host; 0 for none. */
	u16 hash_top;
	u16 wanted_hash_top;
	/* The checksum was left to the interface. */
	u32 partial;
	/* Offsets of options in the TCP header; 0 for none. */
	u32 timestamps_at;
	u32 sack_at;
	u32 sack_length;
	u32 walk_at;
	u32 walk_bad;
	/* The TCP header as it came, as it stands in the packet, and as it is to be. */
	u8 received[HEADER_BYTES];
	u8 present[HEADER_BYTES];
	u8 wanted[HEADER_BYTES];
	struct tuple present_tuple;
	/* The IPv4 header's checksum, and its word of TTL and protocol, as they stand in the packet. */
	u32 present_ttl;
	u16 ip_check;
	/* IPv4 without DF. */
	u16 may_fragment;
	/* Of an ICMP error: the packet that it quotes, and what its sender knows that as. */
	struct tuple quoted;
	struct tuple target;
	u32 quoted_seq;
	u32 target_seq;
	u32 quoted_check;
	u32 trimmed;
	u32 out_count;
	struct emission out[MAX_OUT];
	u32 move_count;
	struct {
		u8 kind;
		u8 state;
		u8 from;
		u8 held;
	} move[MAX_MOVES];
	u32 slot;
	u32 swallowed;
	u32 verdict;
	u32 anew;
	u32 unpaired_over;
	u32 last;
	u32 action;
	u32 csum_at;
	u64 csum;
	u8 chunk[512];
	struct bpf_fib_lookup fib;
	struct route routes[ROUTES];
	struct address address;
	struct request request;
	struct event event;
	struct key key;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, u32);
	__type(value, struct work);
} works SEC(".maps");

static __always_inline struct work *work_of(void)
{
	u32 zero = 0;

	return bpf_map_lookup_elem(&works, &zero);
}

static __always_inline void count(u32 what)
{
	u64 *value = bpf_map_lookup_elem(&counters, &what);

	if (value)
		*value += 1;
}
