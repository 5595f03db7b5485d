/*
 * echo-client CPU ROUNDS CONNECTIONS MS GO NAME=NAMESPACE@ADDRESS:PORT...
 *
 * Round trips of 64 bytes to several servers in turn. It opens CONNECTIONS connections to each, since a
 * connection's addresses decide which processor works for it, says so in one line (`open`), waits until the
 * file GO exists, and then makes slices of ROUNDS round trips, one target after the other, until MS
 * milliseconds are over. In the end one line a target. Every answer is compared with what was sent.
 */
#include "common.h"

#define MESSAGE 64
/* At the start of a slice, not counted: the other targets' slices have emptied the caches. */
#define COLD_ROUNDS 10
/* Points of the distribution that are reported, evenly spaced, and the tail beyond them. */
#define POINTS 100

struct target {
  char *name;
  const char *address;
  int *sockets;
  uint32_t *samples;
  size_t count, room;
  /* Median of each slice, in order. */
  uint32_t *slices;
  size_t slice_count, slice_room;
};

static char message[MESSAGE], answer[MESSAGE];

static void append(uint32_t **list, size_t *count, size_t *room, uint32_t value) {
  if (*count == *room) {
    *room = *room ? *room * 2 : 65536;
    *list = realloc(*list, *room * sizeof **list);
    if (!*list) die("no memory for samples");
  }
  (*list)[(*count)++] = value;
}

static uint32_t round_trip(int fd, uint32_t number) {
  for (size_t at = 0; at < MESSAGE; at += sizeof number) memcpy(message + at, &number, sizeof number);
  uint64_t begin = now_ns();
  if (send(fd, message, MESSAGE, MSG_NOSIGNAL) != MESSAGE) die("send");
  for (size_t got = 0; got < MESSAGE;) {
    ssize_t length = recv(fd, answer + got, MESSAGE - got, 0);
    if (length <= 0) die("the connection ended, or failed");
    got += (size_t)length;
  }
  uint64_t took = now_ns() - begin;
  errno = EBADMSG;
  if (memcmp(message, answer, MESSAGE) != 0) die("the answer is not what was sent");
  return took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
}

static void slice(struct target *target, int fd, uint32_t rounds) {
  static uint32_t number;
  size_t first = target->count;
  for (uint32_t i = 0; i < COLD_ROUNDS; i++) round_trip(fd, number++);
  for (uint32_t i = 0; i < rounds; i++)
    append(&target->samples, &target->count, &target->room, round_trip(fd, number++));
  uint32_t *own = allocate(rounds, sizeof *own);
  memcpy(own, target->samples + first, rounds * sizeof *own);
  qsort(own, rounds, sizeof *own, by_size);
  append(&target->slices, &target->slice_count, &target->slice_room, quantile(own, rounds, 0.5));
  free(own);
}

/* "name=namespace@address" is cut into its parts, in place. */
static struct target open_target(char *text, int connections) {
  struct target target = {.name = text, .sockets = allocate((size_t)connections, sizeof(int))};
  char *namespace = strchr(text, '='), *address = strchr(text, '@');
  errno = EINVAL;
  if (!namespace || !address) die("target %s", text);
  *namespace++ = '\0';
  *address++ = '\0';
  target.address = address;
  enter_namespace(namespace);
  for (int i = 0; i < connections; i++) {
    target.sockets[i] = connect_to(address);
    for (int round = 0; round < COLD_ROUNDS; round++) round_trip(target.sockets[i], 0);
  }
  return target;
}

static void report_open(const struct target *targets, int count, int connections) {
  printf("{\"open\":{");
  for (int i = 0; i < count; i++) {
    printf("%s\"%s\":[", i ? "," : "", targets[i].name);
    for (int j = 0; j < connections; j++)
      printf("%s\"%s\"", j ? "," : "", local_end(targets[i].sockets[j]));
    printf("]");
  }
  printf("}}\n");
  fflush(stdout);
}

/* All times in nanoseconds. */
static void report(struct target *target) {
  qsort(target->samples, target->count, sizeof *target->samples, by_size);
  const uint32_t *sorted = target->samples;
  size_t count = target->count;
  printf("{\"target\":\"%s\",\"rounds\":%zu,\"points\":[", target->name, count);
  for (int i = 0; i <= POINTS; i++)
    printf("%s%u", i ? "," : "", quantile(sorted, count, (double)i / POINTS));
  printf("],\"p999\":%u,\"slices\":[", quantile(sorted, count, 0.999));
  for (size_t i = 0; i < target->slice_count; i++) printf("%s%u", i ? "," : "", target->slices[i]);
  printf("]}\n");
}

int main(int argc, char **argv) {
  errno = EINVAL;
  if (argc < 7) die("usage: echo-client CPU ROUNDS CONNECTIONS MS GO NAME=NAMESPACE@ADDRESS:PORT...");
  pin_to(atoi(argv[1]));
  uint32_t rounds = (uint32_t)atoi(argv[2]);
  int connections = atoi(argv[3]), count = argc - 6;
  uint64_t length = (uint64_t)atoi(argv[4]) * 1000000u;
  struct target *targets = allocate((size_t)count, sizeof *targets);
  for (int i = 0; i < count; i++) targets[i] = open_target(argv[6 + i], connections);
  report_open(targets, count, connections);
  while (access(argv[5], F_OK) != 0) usleep(2000);

  uint64_t end = now_ns() + length;
  /* Whole turns only, so that all have as many slices; who comes first changes with each. */
  for (int turn = 0; turn == 0 || now_ns() < end; turn++) {
    for (int i = 0; i < count; i++) {
      struct target *target = &targets[(turn + i) % count];
      slice(target, target->sockets[turn % connections], rounds);
    }
  }
  for (int i = 0; i < count; i++) report(&targets[i]);
  return 0;
}
