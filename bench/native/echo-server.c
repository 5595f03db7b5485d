/*
 * echo-server ADDRESS:PORT CPU: sends back whatever comes, on any number of connections, from one thread.
 * Messages are small: one that does not fit into the socket's buffer at once ends its connection.
 */
#include "common.h"
#include <sys/epoll.h>

#define EVENTS 256
#define CHUNK 16384

static void watch(int epoll, int fd) {
  struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};
  if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) != 0) die("epoll_ctl");
}

static void accept_all(int epoll, int listener) {
  for (;;) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0 && errno == EAGAIN) return;
    if (fd < 0 && (errno == ECONNABORTED || errno == EINTR)) continue;
    if (fd < 0) die("accept");
    no_delay(fd);
    watch(epoll, fd);
  }
}

static void echo(int fd) {
  char data[CHUNK];
  ssize_t length = recv(fd, data, sizeof data, 0);
  if (length < 0 && (errno == EAGAIN || errno == EINTR)) return;
  if (length <= 0 || send(fd, data, (size_t)length, MSG_NOSIGNAL) != length) close(fd);
}

int main(int argc, char **argv) {
  errno = EINVAL;
  if (argc != 3) die("usage: echo-server ADDRESS:PORT CPU");
  pin_to(atoi(argv[2]));
  int epoll = epoll_create1(EPOLL_CLOEXEC);
  if (epoll < 0) die("epoll_create1");
  int listener = listen_on(argv[1], SOCK_NONBLOCK);
  watch(epoll, listener);
  struct epoll_event events[EVENTS];
  for (;;) {
    int count = epoll_wait(epoll, events, EVENTS, -1);
    if (count < 0 && errno != EINTR) die("epoll_wait");
    for (int i = 0; i < count; i++) {
      if (events[i].data.fd == listener) accept_all(epoll, listener);
      else echo(events[i].data.fd);
    }
  }
}
