/*
 * bulk server ADDRESS:PORT
 * bulk client ADDRESS:PORT MS SEED [NAME=SNMP...]
 *
 * One connection, both directions at full speed for MS milliseconds, then a FIN from each side. Every byte is
 * compared with what it has to be (pattern.h). Both ends report one JSON line a connection: where the stream
 * went wrong, the pauses of their receiver, and the growth of tcpi_total_retrans with time; the client also the
 * growth of RetransSegs in files like /proc/PID/net/snmp, each of which is one network namespace's.
 */
#include "pattern.h"
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>

/* Shorter ones are what any receiver on a busy machine has. */
#define PAUSE_NS 200000u
#define MAX_PAUSES 65536
#define MAX_STEPS 4096
#define INFO_NS 1000000u
#define SNMP_NS 5000000u
#define MAX_SNMP 4
#define STALLED_MS 30000

/* A counter that only grows, and when it did. */
struct growth {
  const char *name;
  int fd;
  uint64_t value;
  size_t count;
  struct { double ms; uint64_t by; } steps[MAX_STEPS];
};

struct transfer {
  int fd;
  uint64_t start;
  struct stream out, in;
  uint64_t last_read;
  size_t pauses;
  struct { double ms, length; } pause[MAX_PAUSES];
  uint64_t next_info, next_snmp;
  struct growth retrans;
  struct growth snmp[MAX_SNMP];
  int snmp_count;
};

struct hello { uint64_t ms, seed; };

static double since_start(const struct transfer *transfer, uint64_t at) {
  return (double)(at - transfer->start) / 1e6;
}

static void grow(struct transfer *transfer, struct growth *growth, uint64_t value, uint64_t now) {
  if (value <= growth->value) return;
  if (growth->count < MAX_STEPS) {
    growth->steps[growth->count].ms = since_start(transfer, now);
    growth->steps[growth->count++].by = value - growth->value;
  }
  growth->value = value;
}

static uint64_t retransmissions_of(int fd) {
  struct tcp_info info;
  socklen_t length = sizeof info;
  if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &length) != 0) return 0;
  return info.tcpi_total_retrans;
}

/* "Tcp: names" and "Tcp: values", with RetransSegs the twelfth of both (RFC 4022 and what Linux adds). */
static uint64_t retrans_segs(int fd) {
  char text[8192];
  ssize_t length = pread(fd, text, sizeof text - 1, 0);
  if (length <= 0) return 0;
  text[length] = '\0';
  const char *names = strstr(text, "\nTcp: "), *values = names ? strstr(names + 1, "\nTcp: ") : NULL;
  unsigned long long count = 0;
  const char *format =
      "\nTcp: %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %llu";
  return values && sscanf(values, format, &count) == 1 ? count : 0;
}

static void sample(struct transfer *transfer, uint64_t now) {
  if (now >= transfer->next_info) {
    transfer->next_info = now + INFO_NS;
    grow(transfer, &transfer->retrans, retransmissions_of(transfer->fd), now);
  }
  if (now >= transfer->next_snmp && transfer->snmp_count > 0) {
    transfer->next_snmp = now + SNMP_NS;
    for (int i = 0; i < transfer->snmp_count; i++)
      grow(transfer, &transfer->snmp[i], retrans_segs(transfer->snmp[i].fd), now);
  }
}

static void note_pause(struct transfer *transfer, uint64_t now) {
  uint64_t last = transfer->last_read;
  transfer->last_read = now;
  if (last == 0 || now - last < PAUSE_NS || transfer->pauses == MAX_PAUSES) return;
  transfer->pause[transfer->pauses].ms = since_start(transfer, last);
  transfer->pause[transfer->pauses++].length = (double)(now - last) / 1e6;
}

/* False at the end of the stream. */
static bool receive_some(struct transfer *transfer) {
  struct stream *in = &transfer->in;
  ssize_t length = recv(transfer->fd, receive_at(in), CHUNK, MSG_DONTWAIT);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return true;
  if (length < 0) die("recv after %llu bytes", (unsigned long long)in->position);
  if (length == 0) return false;
  note_pause(transfer, now_ns());
  compare(in, (size_t)length);
  return true;
}

static void send_some(struct transfer *transfer) {
  size_t length;
  const char *data = next_bytes(&transfer->out, &length);
  ssize_t sent = send(transfer->fd, data, length, MSG_DONTWAIT | MSG_NOSIGNAL);
  if (sent >= 0) took(&transfer->out, (size_t)sent);
  else if (errno != EAGAIN && errno != EINTR) die("send after %llu bytes", (unsigned long long)transfer->out.position);
}

static void run(struct transfer *transfer, uint64_t ms) {
  uint64_t end = transfer->start + ms * 1000000u, active = transfer->start;
  bool sending = true, receiving = true;
  while (sending || receiving) {
    struct pollfd ready = {.fd = transfer->fd,
                           .events = (short)((sending ? POLLOUT : 0) | (receiving ? POLLIN : 0))};
    int count = poll(&ready, 1, 5);
    uint64_t now = now_ns();
    if (count > 0) active = now;
    errno = ETIMEDOUT;
    if (now - active > STALLED_MS * 1000000ull) die("nothing moved for %d s", STALLED_MS / 1000);
    sample(transfer, now);
    if (receiving && (ready.revents & (POLLIN | POLLHUP | POLLERR))) receiving = receive_some(transfer);
    if (!sending) continue;
    if (now >= end) {
      sending = false;
      if (shutdown(transfer->fd, SHUT_WR) != 0) die("shutdown");
    } else if (ready.revents & POLLOUT) {
      send_some(transfer);
    }
  }
  transfer->next_info = transfer->next_snmp = 0;
  sample(transfer, now_ns());
  compare_end(&transfer->in);
}

static void print_growth(const struct growth *growth) {
  printf("[");
  for (size_t i = 0; i < growth->count; i++)
    printf("%s[%.3f,%llu]", i ? "," : "", growth->steps[i].ms, (unsigned long long)growth->steps[i].by);
  printf("]");
}

/* Times in milliseconds since `start`, which is of the wall clock. */
static void report(const struct transfer *transfer, const char *end, uint64_t seed, double start) {
  printf("{\"end\":\"%s\",\"seed\":%llu,\"local\":\"%s\",\"start\":%.3f,\"ms\":%.3f,", end,
         (unsigned long long)seed, local_end(transfer->fd), start, since_start(transfer, now_ns()));
  printf("\"sent\":%llu,\"received\":%llu,\"wrongAt\":%lld,", (unsigned long long)transfer->out.position,
         (unsigned long long)transfer->in.position, (long long)transfer->in.wrong_at);
  printf("\"retrans\":");
  print_growth(&transfer->retrans);
  printf(",\"hosts\":{");
  for (int i = 0; i < transfer->snmp_count; i++) {
    printf("%s\"%s\":", i ? "," : "", transfer->snmp[i].name);
    print_growth(&transfer->snmp[i]);
  }
  printf("},\"pauses\":[");
  for (size_t i = 0; i < transfer->pauses; i++)
    printf("%s[%.3f,%.3f]", i ? "," : "", transfer->pause[i].ms, transfer->pause[i].length);
  printf("]}\n");
  fflush(stdout);
}

static void open_snmp(struct transfer *transfer, char **names, int count) {
  if (count > MAX_SNMP) count = MAX_SNMP;
  for (int i = 0; i < count; i++) {
    struct growth *growth = &transfer->snmp[i];
    char *path = strchr(names[i], '=');
    errno = EINVAL;
    if (!path) die("%s", names[i]);
    *path++ = '\0';
    growth->name = names[i];
    growth->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (growth->fd < 0) die("%s", path);
    growth->value = retrans_segs(growth->fd);
  }
  transfer->snmp_count = count;
}

static struct transfer *start(int fd, uint64_t seed_out, uint64_t seed_in) {
  struct transfer *transfer = allocate(1, sizeof *transfer);
  transfer->fd = fd;
  transfer->start = now_ns();
  transfer->out.seed = seed_out;
  transfer->in.seed = seed_in;
  transfer->in.wrong_at = -1;
  return transfer;
}

/* The two directions have different streams. */
static uint64_t seed_up(uint64_t seed) { return 2 * seed << 40; }
static uint64_t seed_down(uint64_t seed) { return (2 * seed + 1) << 40; }

static void serve_one(int fd) {
  struct hello hello;
  /* A peer that went away again without a word. */
  if (recv(fd, &hello, sizeof hello, MSG_WAITALL) != sizeof hello) return;
  struct transfer *transfer = start(fd, seed_down(hello.seed), seed_up(hello.seed));
  double wall = wall_ms();
  run(transfer, hello.ms);
  report(transfer, "core", hello.seed, wall);
}

/* A process for each connection: one that fails takes no other with it. */
static void serve(const char *address) {
  signal(SIGCHLD, SIG_IGN);
  int listener = listen_on(address, 0);
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    if (fd < 0) die("accept");
    no_delay(fd);
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(listener);
      serve_one(fd);
      exit(0);
    }
    close(fd);
  }
}

int main(int argc, char **argv) {
  if (argc == 3 && strcmp(argv[1], "server") == 0) serve(argv[2]);
  errno = EINVAL;
  if (argc < 5 || strcmp(argv[1], "client") != 0)
    die("usage: bulk server ADDRESS:PORT | bulk client ADDRESS:PORT MS SEED [NAME=SNMP...]");
  struct hello hello = {.ms = (uint64_t)atoi(argv[3]), .seed = (uint64_t)atoi(argv[4])};
  int fd = connect_to(argv[2]);
  struct transfer *transfer = start(fd, seed_up(hello.seed), seed_down(hello.seed));
  open_snmp(transfer, argv + 5, argc - 5);
  double wall = wall_ms();
  if (send(fd, &hello, sizeof hello, MSG_NOSIGNAL) != sizeof hello) die("send");
  run(transfer, hello.ms);
  report(transfer, "peer", hello.seed, wall);
  close(fd);
  return 0;
}
