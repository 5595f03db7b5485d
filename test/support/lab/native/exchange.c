/*
 * Byte by byte in both directions at once, after the manner of the kernel's own selftests: writes and reads of
 * random sizes, ends that do not read or write for a while, small receive buffers, one end that shuts down before
 * the other. Every byte is compared with what it has to be.
 *
 *   exchange server ADDRESS PORT CONNECTIONS
 *   exchange client ADDRESS PORT CONNECTIONS SEED BYTES GO
 *
 * Each connection is a process of its own and has some BYTES each way, at least half of it. No end shuts down
 * before the file GO is there: the client keeps its last bytes until then, the server until it has those. One JSON
 * line for each connection; the exit code is 0 only if all of them are as they should be.
 */
#include "../../../../bench/native/pattern.h"
#include <netdb.h>
#include <poll.h>
#include <sys/wait.h>

/* What an end keeps back until it may end. */
#define HELD 10000
#define LARGEST CHUNK
#define GO_POLL_MS 20
#define NAME_SIZE 64

enum ending { AS_THEY_LIKE, CLIENT_FIRST, SERVER_FIRST, ENDINGS };

/* The first bytes on a connection, from the client. */
struct plan {
  uint64_t seed, up, down, ending;
};

struct end {
  int fd;
  bool is_client;
  const char *go_file;
  bool go;
  struct plan plan;
  struct stream out, in;
  uint64_t out_length, in_length;
  uint64_t random_state;
  bool shut, ended;
  /* It neither reads nor writes before these. */
  uint64_t read_at, write_at;
  unsigned long reads, writes;
  char local[NAME_SIZE], remote[NAME_SIZE];
};

static uint64_t draw(struct end *end, uint64_t below) {
  uint64_t *state = &end->random_state;
  *state ^= *state >> 12;
  *state ^= *state << 25;
  *state ^= *state >> 27;
  return ((*state * 0x2545f4914f6cdd1du) >> 33) % below;
}

/* All orders of magnitude alike. */
static size_t size(struct end *end) {
  size_t largest = (size_t)1 << draw(end, 18);
  return 1 + draw(end, largest < LARGEST ? largest : LARGEST);
}

static bool may_finish(struct end *end) {
  if (end->plan.ending == (end->is_client ? SERVER_FIRST : CLIENT_FIRST)) return end->ended;
  if (!end->is_client) return end->in.position > end->in_length - HELD;
  return end->go;
}

/* In SERVER_FIRST the client has to give the sign, and still keep something. */
static uint64_t may_send(struct end *end) {
  if (may_finish(end)) return end->out_length;
  return end->out_length - (end->is_client && end->go ? HELD / 2 : HELD);
}

static void write_some(struct end *end) {
  uint64_t most = may_send(end);
  if (end->out.position < most) {
    size_t there, wanted = size(end);
    const char *bytes = next_bytes(&end->out, &there);
    if (wanted > there) wanted = there;
    if (wanted > most - end->out.position) wanted = (size_t)(most - end->out.position);
    ssize_t done = send(end->fd, bytes, wanted, MSG_NOSIGNAL | MSG_DONTWAIT | (draw(end, 4) ? 0 : MSG_MORE));
    if (done < 0 && errno != EAGAIN) die("send at %lu", end->out.position);
    if (done > 0) took(&end->out, (size_t)done);
    end->writes++;
    if (draw(end, 200) == 0) end->write_at = now_ns() + draw(end, 5000000);
  }
  if (end->out.position == end->out_length && !end->shut) {
    if (shutdown(end->fd, SHUT_WR) != 0) die("shutdown");
    end->shut = true;
  }
}

static void read_some(struct end *end) {
  ssize_t done = recv(end->fd, receive_at(&end->in), size(end), MSG_DONTWAIT);
  if (done < 0 && errno != EAGAIN) die("receive at %lu", end->in.position);
  if (done == 0) {
    compare_end(&end->in);
    end->ended = true;
  }
  if (done > 0) compare(&end->in, (size_t)done);
  end->reads++;
  if (draw(end, 200) == 0) end->read_at = now_ns() + draw(end, 20000000);
}

static void exchange(struct end *end) {
  while (!end->shut || !end->ended) {
    if (end->is_client && !end->go) end->go = access(end->go_file, F_OK) == 0;
    uint64_t now = now_ns();
    bool writes = !end->shut && (end->out.position < may_send(end) || may_finish(end));
    struct pollfd poller = {.fd = end->fd};
    if (!end->ended && now >= end->read_at) poller.events |= POLLIN;
    if (writes && now >= end->write_at) poller.events |= POLLOUT;
    if (poll(&poller, 1, poller.events ? GO_POLL_MS : 1) < 0) die("poll");
    if (poller.revents & POLLERR) {
      int error = 0;
      socklen_t length = sizeof error;
      getsockopt(end->fd, SOL_SOCKET, SO_ERROR, &error, &length);
      errno = error;
      die("connection, sent %lu, received %lu", end->out.position, end->in.position);
    }
    if (poller.revents & POLLOUT) write_some(end);
    if ((poller.revents & (POLLIN | POLLHUP)) && (poller.events & POLLIN)) read_some(end);
  }
}

/* `of`: getsockname or getpeername, while there are both. */
static void name_of(int fd, int (*of)(int, struct sockaddr *restrict, socklen_t *restrict), char *text) {
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  char host[INET6_ADDRSTRLEN], port[8];
  if (of(fd, (struct sockaddr *)&address, &length) != 0) die("name");
  getnameinfo((const struct sockaddr *)&address, length, host, sizeof host, port, sizeof port,
              NI_NUMERICHOST | NI_NUMERICSERV);
  snprintf(text, NAME_SIZE, strchr(host, ':') ? "[%s]:%s" : "%s:%s", host, port);
}

static bool report(const struct end *end) {
  dprintf(STDOUT_FILENO,
          "{\"local\":\"%s\",\"remote\":\"%s\",\"ending\":%lu,\"sent\":%lu,\"received\":%lu,\"expected\":%lu,"
          "\"wrongAt\":%ld,\"writes\":%lu,\"reads\":%lu}\n",
          end->local, end->remote, end->plan.ending, end->out.position, end->in.position, end->in_length,
          end->in.wrong_at, end->writes, end->reads);
  return end->in.position == end->in_length && end->in.wrong_at < 0;
}

static int run(struct end *end) {
  name_of(end->fd, getsockname, end->local);
  name_of(end->fd, getpeername, end->remote);
  uint64_t up = end->plan.seed, down = ~end->plan.seed;
  end->out.seed = end->is_client ? up : down;
  end->in.seed = end->is_client ? down : up;
  end->out.wrong_at = end->in.wrong_at = -1;
  end->out_length = end->is_client ? end->plan.up : end->plan.down;
  end->in_length = end->is_client ? end->plan.down : end->plan.up;
  if (draw(end, 2)) no_delay(end->fd);
  exchange(end);
  bool good = report(end);
  close(end->fd);
  return good ? 0 : 1;
}

static int client(const struct addrinfo *to, int number, char **args) {
  struct end *end = allocate(1, sizeof *end);
  end->is_client = true;
  end->go_file = args[2];
  end->plan.seed = strtoull(args[0], NULL, 10) + (uint64_t)number;
  end->random_state = end->plan.seed * GOLDEN + 1;
  uint64_t bytes = strtoull(args[1], NULL, 10);
  end->plan.up = bytes / 2 + draw(end, bytes / 2);
  end->plan.down = bytes / 2 + draw(end, bytes / 2);
  end->plan.ending = (uint64_t)number % ENDINGS;
  end->fd = socket(to->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  int buffer = 8192 << draw(end, 6);
  if (draw(end, 2) && setsockopt(end->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0) die("SO_RCVBUF");
  if (connect(end->fd, to->ai_addr, to->ai_addrlen) != 0) die("connect");
  if (send(end->fd, &end->plan, sizeof end->plan, MSG_NOSIGNAL) != sizeof end->plan) die("send");
  return run(end);
}

static int serve(int fd) {
  struct end *end = allocate(1, sizeof *end);
  end->fd = fd;
  if (recv(fd, &end->plan, sizeof end->plan, MSG_WAITALL) != sizeof end->plan) die("no plan");
  end->random_state = ~end->plan.seed * GOLDEN + 1;
  int buffer = 8192 << draw(end, 6);
  if (draw(end, 2) && setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer) != 0) die("SO_RCVBUF");
  return run(end);
}

static int listen_at(const struct addrinfo *at) {
  int one = 1;
  int fd = socket(at->ai_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0) die("socket");
  if (bind(fd, at->ai_addr, at->ai_addrlen) != 0 || listen(fd, 256) != 0) die("listen");
  printf("ready\n");
  fflush(stdout);
  return fd;
}

int main(int count, char **args) {
  errno = EINVAL;
  if (count < 5) die("arguments");
  bool is_client = strcmp(args[1], "client") == 0;
  if (count != (is_client ? 8 : 5)) die("arguments");
  struct addrinfo *place, hints = {.ai_socktype = SOCK_STREAM, .ai_flags = AI_NUMERICHOST | AI_NUMERICSERV};
  if (getaddrinfo(args[2], args[3], &hints, &place) != 0) die("address %s", args[2]);
  int connections = atoi(args[4]), listener = is_client ? -1 : listen_at(place);
  for (int i = 0; i < connections; i++) {
    int fd = is_client ? -1 : accept(listener, NULL, NULL);
    if (!is_client && fd < 0) die("accept");
    pid_t child = fork();
    if (child < 0) die("fork");
    if (child == 0) return is_client ? client(place, i, args + 5) : serve(fd);
    if (!is_client) close(fd);
  }
  int failed = 0, status;
  while (wait(&status) > 0) failed |= status != 0;
  return failed;
}
