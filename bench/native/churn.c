/*
 * churn COUNT CONCURRENCY HOLD_MS LIMIT_MS NAMESPACE ADDRESS:PORT...
 *
 * COUNT short connections, CONCURRENCY at a time, to the servers in turn. Each sends 16 bytes, gets them back,
 * stays until it is stitched, for HOLD_MS at most, and ends with a FIN from this side first. That it is
 * stitched shows in NAMESPACE, the shell's: the shell has no socket for it any more (letgo.h). One thread
 * with epoll, so that the client takes as little as it can of the processors that it shares with what it
 * measures. One JSON line at the end; after LIMIT_MS no more connections are opened.
 */
#include "common.h"
#include "letgo.h"
#include <sys/epoll.h>

#define MESSAGE 16
#define EVENTS 512
/* A connection that takes longer than this for one step has failed. */
#define STEP_NS 10000000000ull
/* Between two looks at whether a connection is stitched. */
#define LOOK_NS 3000000u
/* Marks on the way, so that the beginning and the end can be left out of a rate. */
#define MARKS 20

enum state { UNUSED, CONNECTING, ASKING, HOLDING, ENDING };

struct connection {
  enum state state;
  int fd;
  uint64_t opened, step, look;
  size_t got;
  /* Ended by the other side while HOLDING: found to have failed when its time comes, since it is in the queue. */
  bool lost;
  /* While HOLDING, the one that is looked at next. */
  struct connection *next;
};

struct tally { uint32_t *values; size_t count; };

struct plan {
  uint64_t hold_ns, limit_ns;
  struct sockaddr_in *to;
  size_t servers;
};

static int epoll;
static struct connection *all;
static size_t concurrency, open_count, started, completed, failed;
/* Those that are held, in the order in which they are looked at. */
static struct connection *oldest, *newest;
static int diag;
static size_t let_go;
static struct tally connecting, answering, holding, ending;
static uint64_t marks[MARKS];
static size_t mark_count;
static size_t wanted;
static int last_error;

static void tally(struct tally *tally, uint64_t ns) {
  tally->values[tally->count++] = (uint32_t)(ns / 1000);
}

static void release(struct connection *connection) {
  close(connection->fd);
  connection->state = UNUSED;
  open_count--;
}

static void fail(struct connection *connection, int error) {
  failed++;
  last_error = error;
  release(connection);
}

static void mark(uint64_t now) {
  while (mark_count < MARKS && completed * MARKS >= wanted * (mark_count + 1)) marks[mark_count++] = now;
}

static void open_one(struct connection *connection, const struct sockaddr_in *to, uint64_t now) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) die("socket");
  no_delay(fd);
  *connection = (struct connection){.state = CONNECTING, .fd = fd, .opened = now, .step = now};
  started++;
  open_count++;
  if (connect(fd, (const struct sockaddr *)to, sizeof *to) != 0 && errno != EINPROGRESS)
    return fail(connection, errno);
  struct epoll_event event = {.events = EPOLLOUT, .data.ptr = connection};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static void ask(struct connection *connection, uint64_t now) {
  int error = 0;
  socklen_t length = sizeof error;
  getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &length);
  if (error) return fail(connection, error);
  tally(&connecting, now - connection->step);
  if (send(connection->fd, "0123456789abcdef", MESSAGE, MSG_NOSIGNAL) != MESSAGE) return fail(connection, errno);
  connection->state = ASKING;
  connection->step = now;
  struct epoll_event event = {.events = EPOLLIN, .data.ptr = connection};
  if (epoll_ctl(epoll, EPOLL_CTL_MOD, connection->fd, &event) != 0) die("epoll_ctl");
}

static void queue(struct connection *connection, uint64_t now) {
  connection->look = now + LOOK_NS;
  connection->next = NULL;
  if (newest) newest->next = connection;
  else oldest = connection;
  newest = connection;
}

static void hold(struct connection *connection, uint64_t now) {
  tally(&answering, now - connection->step);
  connection->state = HOLDING;
  connection->step = now;
  queue(connection, now);
}

/* Readable: the answer, or the end. */
static void read_some(struct connection *connection, uint64_t now) {
  char data[64];
  ssize_t length = recv(connection->fd, data, sizeof data, 0);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (connection->state == ENDING && length == 0) {
    tally(&ending, now - connection->step);
    release(connection);
    completed++;
    return mark(now);
  }
  if (connection->state == HOLDING) {
    connection->lost = true;
    epoll_ctl(epoll, EPOLL_CTL_DEL, connection->fd, NULL);
    return;
  }
  if (length <= 0) return fail(connection, length < 0 ? errno : ECONNRESET);
  connection->got += (size_t)length;
  if (connection->state == ASKING && connection->got >= MESSAGE) hold(connection, now);
}

static void end(struct connection *connection, uint64_t now) {
  tally(&holding, now - connection->step);
  connection->state = ENDING;
  connection->step = now;
  if (connection->lost) fail(connection, ECONNRESET);
  else if (shutdown(connection->fd, SHUT_WR) != 0) fail(connection, errno);
}

static void look_at_held(uint64_t now, uint64_t hold_ns) {
  while (oldest && now >= oldest->look) {
    struct connection *connection = oldest;
    oldest = connection->next;
    if (!oldest) newest = NULL;
    bool gone = was_let_go(diag, connection->fd);
    if (gone) let_go++;
    if (gone || connection->lost || now - connection->step >= hold_ns) end(connection, now);
    else queue(connection, now);
  }
}

static void end_late(uint64_t now) {
  for (size_t i = 0; i < concurrency; i++) {
    struct connection *connection = &all[i];
    if (connection->state == UNUSED || connection->state == HOLDING) continue;
    if (now - connection->step > STEP_NS) fail(connection, ETIMEDOUT);
  }
}

static void print_tally(const char *name, struct tally *tally) {
  qsort(tally->values, tally->count, sizeof *tally->values, by_size);
  printf(",\"%s\":{\"p50\":%u,\"p90\":%u,\"p99\":%u,\"max\":%u}", name,
         quantile(tally->values, tally->count, 0.5), quantile(tally->values, tally->count, 0.9),
         quantile(tally->values, tally->count, 0.99), quantile(tally->values, tally->count, 1));
}

/* Latencies in microseconds, marks in milliseconds since the start. */
static void report(uint64_t start, double wall) {
  printf("{\"start\":%.3f,\"opened\":%zu,\"completed\":%zu,\"letGo\":%zu,\"failed\":%zu,\"ms\":%.3f", wall,
         started, completed, let_go, failed, (double)(now_ns() - start) / 1e6);
  printf(",\"lastError\":\"%s\"", last_error ? strerror(last_error) : "");
  print_tally("connectUs", &connecting);
  print_tally("answerUs", &answering);
  print_tally("holdUs", &holding);
  print_tally("endUs", &ending);
  printf(",\"marks\":[");
  for (size_t i = 0; i < mark_count; i++) printf("%s%.3f", i ? "," : "", (double)(marks[i] - start) / 1e6);
  printf("]}\n");
}

static struct connection *unused(void) {
  static size_t at;
  for (size_t i = 0; i < concurrency; i++, at++)
    if (all[at % concurrency].state == UNUSED) return &all[at++ % concurrency];
  return NULL;
}

static void turn(void) {
  struct epoll_event events[EVENTS];
  int count = epoll_wait(epoll, events, EVENTS, 1);
  if (count < 0 && errno != EINTR) die("epoll_wait");
  uint64_t now = now_ns();
  for (int i = 0; i < count; i++) {
    struct connection *connection = events[i].data.ptr;
    if (connection->state == CONNECTING) ask(connection, now);
    else if (connection->state != UNUSED) read_some(connection, now);
  }
}

/* Until all are over, or until the limit and those that are open then. */
static void run(const struct plan *plan, uint64_t start) {
  uint64_t now = start, checked = start;
  while (completed + failed < wanted) {
    bool more = started < wanted && now - start < plan->limit_ns;
    if (!more && open_count == 0) break;
    while (more && open_count < concurrency && started < wanted)
      open_one(unused(), &plan->to[started % plan->servers], now_ns());
    turn();
    now = now_ns();
    look_at_held(now, plan->hold_ns);
    if (now - checked < 1000000000u) continue;
    checked = now;
    end_late(now);
  }
}

int main(int argc, char **argv) {
  errno = EINVAL;
  if (argc < 7) die("usage: churn COUNT CONCURRENCY HOLD_MS LIMIT_MS NAMESPACE ADDRESS:PORT...");
  wanted = (size_t)atoi(argv[1]);
  concurrency = (size_t)atoi(argv[2]);
  struct plan plan = {.hold_ns = (uint64_t)atoi(argv[3]) * 1000000u,
                      .limit_ns = (uint64_t)atoi(argv[4]) * 1000000u,
                      .servers = (size_t)argc - 6};
  plan.to = allocate(plan.servers, sizeof *plan.to);
  for (size_t i = 0; i < plan.servers; i++) plan.to[i] = endpoint(argv[6 + i]);
  all = allocate(concurrency, sizeof *all);
  connecting.values = allocate(wanted, sizeof(uint32_t));
  answering.values = allocate(wanted, sizeof(uint32_t));
  holding.values = allocate(wanted, sizeof(uint32_t));
  ending.values = allocate(wanted, sizeof(uint32_t));
  diag = open_diag(argv[5]);
  epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll_create1");
  double wall = wall_ms();
  uint64_t start = now_ns();
  run(&plan, start);
  report(start, wall);
  return 0;
}
