/*
 * What the benchmarks' own programs share: time, endpoints, sockets, and ending with a message when anything is
 * not as it should be. They are C because a client that measures microseconds must not pause by itself, and
 * because TCP_INFO is a getsockopt away. `suture bench` compiles them with the gcc that the set-up needs anyway.
 */
#ifndef SUTURE_BENCH_COMMON_H
#define SUTURE_BENCH_COMMON_H

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

__attribute__((noreturn, format(printf, 1, 2))) static inline void die(const char *format, ...) {
  int error = errno;
  va_list args;
  va_start(args, format);
  vfprintf(stderr, format, args);
  va_end(args);
  fprintf(stderr, ": %s\n", strerror(error));
  exit(1);
}

static inline uint64_t clock_ns(clockid_t clock) {
  struct timespec t;
  clock_gettime(clock, &t);
  return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static inline uint64_t now_ns(void) { return clock_ns(CLOCK_MONOTONIC); }

/* The wall clock is the same in all of the lab's hosts, and the one of the switch's records. */
static inline double wall_ms(void) { return (double)clock_ns(CLOCK_REALTIME) / 1e6; }

static inline void *allocate(size_t count, size_t size) {
  void *memory = calloc(count, size);
  if (!memory) die("no memory for %zu bytes", count * size);
  return memory;
}

/* "10.0.0.1:80"; the text is left as it was. */
static inline struct sockaddr_in endpoint(const char *text) {
  struct sockaddr_in address = {.sin_family = AF_INET};
  char host[INET_ADDRSTRLEN] = "";
  const char *colon = strrchr(text, ':');
  if (colon && (size_t)(colon - text) < sizeof host) memcpy(host, text, (size_t)(colon - text));
  errno = EINVAL;
  if (!colon || inet_pton(AF_INET, host, &address.sin_addr) != 1) die("endpoint %s", text);
  address.sin_port = htons((uint16_t)atoi(colon + 1));
  return address;
}

/* The sockets that are made from now on belong to this network namespace. */
static inline void enter_namespace(const char *name) {
  char path[256];
  snprintf(path, sizeof path, "/run/netns/%s", name);
  int fd = open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0 || setns(fd, CLONE_NEWNET) != 0) die("namespace %s", name);
  close(fd);
}

/* Below zero: wherever the scheduler likes. */
static inline void pin_to(int cpu) {
  if (cpu < 0) return;
  cpu_set_t set;
  CPU_ZERO(&set);
  CPU_SET((unsigned)cpu, &set);
  if (sched_setaffinity(0, sizeof set, &set) != 0) die("processor %d", cpu);
}

static inline void no_delay(int fd) {
  int one = 1;
  if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0) die("TCP_NODELAY");
}

static inline int listen_on(const char *text, int flags) {
  struct sockaddr_in address = endpoint(text);
  int one = 1;
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0) die("socket");
  if (bind(fd, (struct sockaddr *)&address, sizeof address) != 0) die("bind %s", text);
  if (listen(fd, 4096) != 0) die("listen %s", text);
  printf("ready\n");
  fflush(stdout);
  return fd;
}

static inline int connect_to(const char *text) {
  struct sockaddr_in address = endpoint(text);
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  if (connect(fd, (struct sockaddr *)&address, sizeof address) != 0) die("connect %s", text);
  no_delay(fd);
  return fd;
}

/* This end of a connection as text, in a buffer that the next call overwrites. */
static inline const char *local_end(int fd) {
  static char text[INET_ADDRSTRLEN + 8];
  char host[INET_ADDRSTRLEN];
  struct sockaddr_in address;
  socklen_t length = sizeof address;
  if (getsockname(fd, (struct sockaddr *)&address, &length) != 0) die("getsockname");
  inet_ntop(AF_INET, &address.sin_addr, host, sizeof host);
  snprintf(text, sizeof text, "%s:%u", host, ntohs(address.sin_port));
  return text;
}

static inline int by_size(const void *a, const void *b) {
  uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
  return (x > y) - (x < y);
}

/* Of sorted values; share 0 to 1. */
static inline uint32_t quantile(const uint32_t *sorted, size_t count, double share) {
  if (count == 0) return 0;
  size_t at = (size_t)(share * (double)(count - 1) + 0.5);
  return sorted[at];
}

#endif
