/* SPDX-License-Identifier: MIT OR GPL-2.0 */
/* Numbers in the order of the wire: src/wire/bytes.ts. */
#pragma once

static __always_inline u16 read16(const u8 *at)
{
	return (u16)at[0] << 8 | at[1];
}

static __always_inline u32 read32(const u8 *at)
{
	return (u32)at[0] << 24 | (u32)at[1] << 16 | (u32)at[2] << 8 | at[3];
}

static __always_inline void write16(u8 *at, u32 value)
{
	at[0] = value >> 8;
	at[1] = value;
}

static __always_inline void write32(u8 *at, u32 value)
{
	at[0] = value >> 24;
	at[1] = value >> 16;
	at[2] = value >> 8;
	at[3] = value;
}
