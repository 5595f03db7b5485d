/*
 * Whether another network namespace on this machine still has a TCP socket for the other end of a connection,
 * asked over sock_diag(7). The shell destroys its two sockets when the switch tells it that a flow is stitched, and
 * that is all that shows of a stitch from outside.
 */
#ifndef SUTURE_BENCH_LETGO_H
#define SUTURE_BENCH_LETGO_H

#include "common.h"
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>

/* A netlink socket that sees the sockets of that namespace; the caller stays where it is. */
static inline int open_diag(const char *namespace) {
  int own = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
  if (own < 0) die("own namespace");
  enter_namespace(namespace);
  int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) die("sock_diag");
  if (setns(own, CLONE_NEWNET) != 0) die("own namespace");
  close(own);
  return fd;
}

/* One exact look-up, by the ends of this socket the other way round. */
static inline bool was_let_go(int diag, int fd) {
  struct sockaddr_in local, remote;
  socklen_t length = sizeof local;
  if (getsockname(fd, (struct sockaddr *)&local, &length) != 0) die("getsockname");
  length = sizeof remote;
  if (getpeername(fd, (struct sockaddr *)&remote, &length) != 0) return false;
  struct {
    struct nlmsghdr header;
    struct inet_diag_req_v2 request;
  } ask = {
      .header = {.nlmsg_len = sizeof ask, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST},
      .request = {.sdiag_family = AF_INET, .sdiag_protocol = IPPROTO_TCP, .idiag_states = ~0u},
  };
  struct inet_diag_sockid *id = &ask.request.id;
  id->idiag_sport = remote.sin_port;
  id->idiag_src[0] = remote.sin_addr.s_addr;
  id->idiag_dport = local.sin_port;
  id->idiag_dst[0] = local.sin_addr.s_addr;
  id->idiag_cookie[0] = id->idiag_cookie[1] = INET_DIAG_NOCOOKIE;
  if (send(diag, &ask, sizeof ask, 0) != sizeof ask) die("sock_diag request");
  char answer[1024];
  ssize_t got = recv(diag, answer, sizeof answer, 0);
  if (got < (ssize_t)sizeof(struct nlmsghdr)) die("sock_diag answer");
  const struct nlmsghdr *header = (const struct nlmsghdr *)answer;
  if (header->nlmsg_type != NLMSG_ERROR) {
    /* With no connection of that name the kernel finds the socket that listens. */
    const struct inet_diag_msg *found = NLMSG_DATA(header);
    return found->id.idiag_dport == 0;
  }
  const struct nlmsgerr *problem = NLMSG_DATA(header);
  errno = -problem->error;
  if (errno != ENOENT) die("sock_diag");
  return true;
}

#endif
