/* Choosing symbols and activity levels: quantize and saved_error in quaver.codec.decisions, level_bits in
   quaver.codec.coefficients. Most symbols are zero, and zeros are passed over eight at a time. */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

enum { LUMA = 64, CHANNELS = 96, MAGNITUDES = 64 };

INLINE int32_t symbol_of(float distance, float rounding) {
    float magnitude = (distance < 0 ? -distance : distance) + rounding;
    magnitude = magnitude < 32767.0f ? magnitude : 32767.0f; /* and not a number becomes one */
    return distance < 0 ? -(int32_t)magnitude : (int32_t)magnitude;
}

/* One row of areas' upper or lower blocks; `one_mean` for all of them. */
INLINE void quantize_row(const float *restrict scaled, const float *restrict means, int one_mean,
                         const int32_t *restrict levels, float rounding, ptrdiff_t areas, int32_t *restrict symbols) {
    for (ptrdiff_t n = 0; n < areas; n++) {
        const int32_t kept = levels[n] > 0 ? -1 : 0;
        symbols[2 * n] = symbol_of(scaled[2 * n] - means[one_mean ? 0 : 2 * n], rounding) & kept;
        symbols[2 * n + 1] = symbol_of(scaled[2 * n + 1] - means[one_mean ? 0 : 2 * n + 1], rounding) & kept;
    }
}

/* Symbols (96, rows, columns) around means, towards zero by less than half a step where `rounding` says so; zero
   where `levels` (2, rows / 2, columns / 2) are 0. */
VECTORISED void quantize(const float *scaled, const float *means, int one_mean, const int32_t *levels, float rounding,
                         ptrdiff_t rows, ptrdiff_t columns, int32_t *symbols) {
    for (ptrdiff_t line = 0; line < CHANNELS * rows; line++) {
        const ptrdiff_t row = line % rows, start = line * columns, areas = columns / 2;
        const int32_t *level = levels + ((line / rows >= LUMA) * (rows / 2) + row / 2) * areas;
        if (one_mean)
            quantize_row(scaled + start, means, 1, level, rounding, areas, symbols + start);
        else
            quantize_row(scaled + start, means + start, 0, level, rounding, areas, symbols + start);
    }
}

/* The next position from `n` on whose symbol is not zero, or `end`. */
INLINE ptrdiff_t next_symbol(const int32_t *symbols, ptrdiff_t n, ptrdiff_t end) {
    for (; n + 8 <= end; n += 8) {
        uint64_t four[4];
        memcpy(four, symbols + n, sizeof four);
        if (four[0] | four[1] | four[2] | four[3]) break;
    }
    while (n < end && symbols[n] == 0) n++;
    return n;
}

/* (2, count, rows / 2, columns / 2) of summed lengths; where level 0 is not enough, that is -1. */
int level_bits(const int32_t *symbols, const uint8_t *table, ptrdiff_t count, const int32_t *lengths, ptrdiff_t rows,
               ptrdiff_t columns, int64_t *result) {
    const ptrdiff_t areas = (rows / 2) * (columns / 2), across = columns / 2;
    /* While they grow, sums of one area lie together. */
    int64_t *sums = calloc((size_t)(2 * areas * count), sizeof(int64_t));
    if (sums == NULL) return -1;
    for (ptrdiff_t channel = 0; channel < CHANNELS; channel++) {
        const int plane = channel >= LUMA;
        const int32_t *own = symbols + channel * rows * columns;
        const ptrdiff_t end = rows * columns;
        for (ptrdiff_t n = next_symbol(own, 0, end); n < end; n = next_symbol(own, n + 1, end)) {
            const ptrdiff_t area = n / columns / 2 * across + n % columns / 2;
            const uint32_t size = own[n] < 0 ? 0u - (uint32_t)own[n] : (uint32_t)own[n];
            const uint32_t magnitude = size < MAGNITUDES ? size : MAGNITUDES - 1;
            int64_t *sum = sums + (plane * areas + area) * count;
            sum[0] = 1;
            for (ptrdiff_t level = 1; level < count; level++) {
                const int32_t *length = lengths + MAGNITUDES * table[level * CHANNELS + channel];
                sum[level] += (int64_t)length[magnitude] - length[0];
            }
        }
    }
    for (int plane = 0; plane < 2; plane++)
        for (ptrdiff_t level = 0; level < count; level++) {
            int64_t silent = 0; /* an area of zeros */
            for (ptrdiff_t channel = plane ? LUMA : 0; channel < (plane ? CHANNELS : LUMA); channel++)
                silent += 4 * (int64_t)lengths[MAGNITUDES * table[level * CHANNELS + channel]];
            int64_t *out = result + (plane * count + level) * areas;
            const int64_t *sum = sums + plane * areas * count + level;
            for (ptrdiff_t area = 0; area < areas; area++)
                out[area] = level == 0 ? -sum[area * count] : silent + sum[area * count];
        }
    free(sums);
    return 0;
}

/* (2, rows, columns): of luma and chroma, squared error in squared steps that symbols save at each block. */
void saved_error(const float *scaled, const int32_t *symbols, ptrdiff_t rows, ptrdiff_t columns, double *saved) {
    const ptrdiff_t blocks = rows * columns;
    memset(saved, 0, sizeof(double) * (size_t)(2 * blocks));
    for (ptrdiff_t channel = 0; channel < CHANNELS; channel++) {
        const float *value = scaled + channel * blocks;
        const int32_t *symbol = symbols + channel * blocks;
        double *sum = saved + (channel >= LUMA) * blocks;
        for (ptrdiff_t n = next_symbol(symbol, 0, blocks); n < blocks; n = next_symbol(symbol, n + 1, blocks))
            sum[n] += symbol[n] * (2 * (double)value[n] - symbol[n]);
    }
}
