/*
 * A stream whose every byte is known from its offset: 64-bit words that count up from a number of the seed's. No
 * two words of a stream are alike, so bytes that are lost, doubled, moved or changed are found where it happens;
 * and counting is cheap enough to do for every byte at full speed.
 */
#ifndef SUTURE_BENCH_PATTERN_H
#define SUTURE_BENCH_PATTERN_H

#include "common.h"

#define WORD sizeof(uint64_t)
#define CHUNK (128 * 1024)
#define GOLDEN 0x9e3779b97f4a7c15u

struct stream {
  uint64_t seed;
  /* Bytes of it that were sent, or received and compared. */
  uint64_t position;
  /* Offset of the word with the first wrong byte; negative: none. */
  int64_t wrong_at;
  /* Begins at the last border of a word at or before `position`. */
  uint64_t words[CHUNK / WORD + 1];
  /* Of the bytes in `words`: those already sent, and those made (sending only). */
  size_t sent, made;
};

static inline uint64_t word_of(const struct stream *stream, uint64_t number) {
  return stream->seed * GOLDEN + number;
}

/* What to send next, and how much of it there is. */
static inline const char *next_bytes(struct stream *stream, size_t *length) {
  if (stream->sent == stream->made) {
    uint64_t first = stream->position / WORD;
    for (size_t i = 0; i < CHUNK / WORD; i++) stream->words[i] = word_of(stream, first + i);
    stream->sent = 0;
    stream->made = CHUNK;
  }
  *length = stream->made - stream->sent;
  return (const char *)stream->words + stream->sent;
}

static inline void took(struct stream *stream, size_t length) {
  stream->sent += length;
  stream->position += length;
}

/* Where the next bytes have to be received to: behind the bytes of a word that is not whole yet. */
static inline char *receive_at(struct stream *stream) {
  return (char *)stream->words + stream->position % WORD;
}

static inline void compare(struct stream *stream, size_t length) {
  size_t have = stream->position % WORD + length, whole = have / WORD;
  uint64_t first = stream->position / WORD, different = 0;
  for (size_t i = 0; i < whole; i++) different |= stream->words[i] ^ word_of(stream, first + i);
  if (different && stream->wrong_at < 0) {
    size_t i = 0;
    while (stream->words[i] == word_of(stream, first + i)) i++;
    stream->wrong_at = (int64_t)((first + i) * WORD);
  }
  stream->words[0] = stream->words[whole];
  stream->position += length;
}

/* The bytes of a last word that is not whole. */
static inline void compare_end(struct stream *stream) {
  uint64_t last = word_of(stream, stream->position / WORD);
  if (stream->wrong_at < 0 && memcmp(stream->words, &last, stream->position % WORD) != 0)
    stream->wrong_at = (int64_t)(stream->position / WORD * WORD);
}

#endif
