/*
 * A wire that is not a good one: passes frames between two interfaces, both ways, and on the way loses some TCP
 * segments, holds some back for a while so that others overtake them, and passes some twice. For kernels without
 * netem. Super-frames and checksums that are still to be made stay as they are (PACKET_VNET_HDR), so offloads on
 * either side go on as if the wire were a bridge.
 *
 *   wire SEED LOST LATE TWICE LATE_US SPARED INTERFACE INTERFACE [INTERFACE INTERFACE]...
 *
 * LOST, LATE and TWICE are shares of a thousand, LATE_US how late at most. SPARED is a TCP port whose segments nothing
 * happens to. SIGTERM ends it with its counts as JSON.
 */
#define _GNU_SOURCE
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>

#include "../../../../bench/native/common.h"

#define MAX_INTERFACES 8
#define MAX_HELD 4096
/* A super-frame with its headers, behind what the kernel says about it. */
#define FRAME_SIZE (sizeof(struct virtio_net_hdr) + 70000)
#define BURST 64
#define RECEIVE_BUFFER (32 << 20)

struct held {
  uint64_t release;
  /* Of its direction, when it came: more by now means that others went first. */
  uint64_t passed_before;
  size_t length;
  int out;
  char *bytes;
};

static struct pollfd ends[MAX_INTERFACES];
static uint64_t passed[MAX_INTERFACES];
static struct held held[MAX_HELD];
static size_t held_count;
static uint64_t frames, lost, late, overtaken, twice, refused;
static volatile sig_atomic_t stopped;
static uint64_t random_state;

static void stop(int signal) {
  (void)signal;
  stopped = 1;
}

/* xorshift64*: the same seed gives the same draws, though not the same packets to draw for. */
static uint64_t draw(uint64_t below) {
  random_state ^= random_state >> 12;
  random_state ^= random_state << 25;
  random_state ^= random_state >> 27;
  return ((random_state * 0x2545f4914f6cdd1du) >> 33) % below;
}

static int open_interface(const char *name) {
  int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);
  int one = 1, size = RECEIVE_BUFFER;
  struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL)};
  address.sll_ifindex = (int)if_nametoindex(name);
  struct packet_mreq promiscuous = {.mr_ifindex = address.sll_ifindex, .mr_type = PACKET_MR_PROMISC};
  if (fd < 0 || address.sll_ifindex == 0) die("interface %s", name);
  if (setsockopt(fd, SOL_PACKET, PACKET_VNET_HDR, &one, sizeof one) != 0) die("PACKET_VNET_HDR");
  if (setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof one) != 0) die("PACKET_IGNORE_OUTGOING");
  if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof size) != 0) die("SO_RCVBUFFORCE");
  if (setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof size) != 0) die("SO_SNDBUFFORCE");
  if (setsockopt(fd, SOL_PACKET, PACKET_ADD_MEMBERSHIP, &promiscuous, sizeof promiscuous) != 0) die("promiscuous");
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) die("bind to %s", name);
  return fd;
}

/* Whether something may happen to it. */
static bool is_fair_game(const char *bytes, size_t length, unsigned spared) {
  const unsigned char *frame = (const unsigned char *)bytes + sizeof(struct virtio_net_hdr);
  if (length < sizeof(struct virtio_net_hdr) + 14 + 40) return false;
  unsigned type = (unsigned)frame[12] << 8 | frame[13];
  bool is_ipv4 = type == ETH_P_IP && frame[23] == IPPROTO_TCP;
  if (!is_ipv4 && (type != ETH_P_IPV6 || frame[20] != IPPROTO_TCP)) return false;
  size_t tcp = 14 + (is_ipv4 ? 4u * (frame[14] & 15) : 40);
  if (length < sizeof(struct virtio_net_hdr) + tcp + 4) return false;
  unsigned source = (unsigned)frame[tcp] << 8 | frame[tcp + 1];
  unsigned target = (unsigned)frame[tcp + 2] << 8 | frame[tcp + 3];
  return source != spared && target != spared;
}

static void pass(int out, const char *bytes, size_t length) {
  if (send(ends[out].fd, bytes, length, 0) < 0) refused++;
  passed[out]++;
}

static void hold(int out, const char *bytes, size_t length, uint64_t release) {
  if (held_count == MAX_HELD) return pass(out, bytes, length);
  struct held *one = &held[held_count++];
  *one = (struct held){.release = release, .passed_before = passed[out], .length = length, .out = out};
  one->bytes = allocate(1, length);
  memcpy(one->bytes, bytes, length);
}

static void release_due(uint64_t now) {
  for (size_t i = 0; i < held_count;) {
    struct held one = held[i];
    if (one.release > now) {
      i++;
      continue;
    }
    if (passed[one.out] > one.passed_before) overtaken++;
    pass(one.out, one.bytes, one.length);
    free(one.bytes);
    held[i] = held[--held_count];
  }
}

/* Until the next frame is due; a second when none is held. */
static struct timespec until_next(uint64_t now) {
  uint64_t next = now + 1000000000u;
  for (size_t i = 0; i < held_count; i++)
    if (held[i].release < next) next = held[i].release;
  uint64_t wait = next > now ? next - now : 0;
  return (struct timespec){.tv_sec = (time_t)(wait / 1000000000u), .tv_nsec = (long)(wait % 1000000000u)};
}

int main(int count, char **args) {
  static char frame[FRAME_SIZE];
  errno = EINVAL;
  if (count < 9 || count % 2 == 0 || count - 7 > MAX_INTERFACES) die("arguments");
  random_state = strtoull(args[1], NULL, 10) * 0x9e3779b97f4a7c15u + 1;
  uint64_t lose = strtoull(args[2], NULL, 10), delay = strtoull(args[3], NULL, 10);
  uint64_t repeat = strtoull(args[4], NULL, 10), latest_us = strtoull(args[5], NULL, 10);
  unsigned spared = (unsigned)atoi(args[6]);
  int interfaces = count - 7;
  for (int i = 0; i < interfaces; i++)
    ends[i] = (struct pollfd){.fd = open_interface(args[7 + i]), .events = POLLIN};
  signal(SIGTERM, stop);
  printf("ready\n");
  fflush(stdout);
  while (!stopped) {
    uint64_t now = now_ns();
    release_due(now);
    struct timespec wait = until_next(now);
    if (ppoll(ends, (nfds_t)interfaces, &wait, NULL) < 0 && errno != EINTR) die("poll");
    now = now_ns();
    for (int i = 0; i < interfaces; i++) {
      for (int n = 0; n < BURST; n++) {
        ssize_t length = recv(ends[i].fd, frame, sizeof frame, MSG_DONTWAIT | MSG_TRUNC);
        if (length <= 0 || (size_t)length > sizeof frame) break;
        int out = i ^ 1;
        uint64_t later = now + 1000 * (1 + draw(latest_us));
        frames++;
        if (!is_fair_game(frame, (size_t)length, spared)) {
          pass(out, frame, (size_t)length);
        } else if (draw(1000) < lose) {
          lost++;
        } else if (draw(1000) < delay) {
          late++;
          hold(out, frame, (size_t)length, later);
        } else {
          pass(out, frame, (size_t)length);
          if (draw(1000) < repeat) {
            twice++;
            hold(out, frame, (size_t)length, later);
          }
        }
      }
    }
  }
  printf("{\"frames\":%lu,\"lost\":%lu,\"late\":%lu,\"overtaken\":%lu,\"twice\":%lu,\"refused\":%lu}\n", frames, lost,
         late, overtaken, twice, refused);
  return 0;
}
