/**
 * Protocol numbers that more than one header shares. They are branded, so that an EtherType is never
 * compared with an IP protocol number by mistake. Offsets stay in the file of their header.
 */

declare const etherTypeBrand: unique symbol;
declare const ipProtoBrand: unique symbol;

/** What an Ethernet frame carries (IEEE 802 numbers). */
export type EtherType = number & { readonly [etherTypeBrand]: true };

/** What an IP packet or an IPv6 extension header carries (IANA protocol numbers). */
export type IpProto = number & { readonly [ipProtoBrand]: true };

export const EtherType = {
  Ipv4: 0x0800 as EtherType,
  Arp: 0x0806 as EtherType,
  Ipv6: 0x86dd as EtherType,
  /** IEEE 802.1Q: a customer VLAN tag. */
  Vlan: 0x8100 as EtherType,
  /** IEEE 802.1ad: a service VLAN tag. */
  ServiceVlan: 0x88a8 as EtherType,
} as const;

export const IpProto = {
  HopByHop: 0 as IpProto,
  Icmp: 1 as IpProto,
  Tcp: 6 as IpProto,
  Udp: 17 as IpProto,
  Routing: 43 as IpProto,
  Fragment: 44 as IpProto,
  Esp: 50 as IpProto,
  Ah: 51 as IpProto,
  Icmpv6: 58 as IpProto,
  NoNext: 59 as IpProto,
  Destination: 60 as IpProto,
} as const;
