/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/*
 * Discovery datagrams are handed to the process as they came in, with their headers. A capture would cost each packet of
 * the interface a copy of its descriptor on the way out, and a filter both ways.
 */
#pragma once

#define UDP_HEADER 8
#define UDP_DESTINATION 2

/* The host sees it too. What finds the buffer full was one of too many, and is asked again. */
static __always_inline void hand_over_discovery(struct __sk_buff *skb, const struct work *w)
{
	u16 port;

	if (discovery_port == 0)
		return;
	if (w->l4 + UDP_HEADER > w->end || bpf_skb_load_bytes(skb, w->l4 + UDP_DESTINATION, &port, sizeof(port)))
		return;
	if (bpf_ntohs(port) != discovery_port)
		return;
	struct datagram *d = bpf_ringbuf_reserve(&datagrams, sizeof(*d), 0);

	if (!d)
		return;
	u32 length = skb->len;

	if (length > DATAGRAM_BYTES)
		length = DATAGRAM_BYTES;
	d->ifindex = skb->ingress_ifindex;
	d->length = length;
	if (length == 0 || bpf_skb_load_bytes(skb, 0, d->bytes, length))
		bpf_ringbuf_discard(d, 0);
	else
		bpf_ringbuf_submit(d, 0);
}
