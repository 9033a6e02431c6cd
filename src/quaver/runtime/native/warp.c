/* Motion compensation of one plane: quaver.runtime.warp.predict_plane. */
#include "kernels.h"

#include <string.h>

enum { LARGEST = 8, WINDOW = 2 * LARGEST - 1 };

/* The samples that a block of `size` needs with filters of `length` taps, edges repeated. */
static void gather(const uint8_t *plane, ptrdiff_t height, ptrdiff_t width, ptrdiff_t top, ptrdiff_t left, int window,
                   uint8_t *patch) {
    for (int y = 0; y < window; y++) {
        const uint8_t *row = plane + clamp(top + y, 0, height - 1) * width;
        for (int x = 0; x < window; x++) patch[y * WINDOW + x] = row[clamp(left + x, 0, width - 1)];
    }
}

/* One block through the two filters: horizontal sums fit 16 bits, both together 32 (255 * 112 * 112). */
INLINE void filter_block(const uint8_t *restrict window, ptrdiff_t pitch, const int16_t *restrict vertical,
                         const int16_t *restrict horizontal, int size, int length, int32_t *restrict result,
                         ptrdiff_t result_pitch) {
    int16_t rows[WINDOW][LARGEST];
    for (int y = 0; y < size + length - 1; y++) {
        int16_t sums[LARGEST] = {0};
        for (int tap = 0; tap < length; tap++)
            for (int x = 0; x < size; x++)
                sums[x] = (int16_t)(sums[x] + (int16_t)(horizontal[tap] * window[y * pitch + x + tap]));
        for (int x = 0; x < size; x++) rows[y][x] = sums[x];
    }
    for (int y = 0; y < size; y++) {
        int32_t sums[LARGEST] = {0};
        for (int tap = 0; tap < length; tap++)
            for (int x = 0; x < size; x++) sums[x] += (int32_t)vertical[tap] * rows[y + tap][x];
        for (int x = 0; x < size; x++) result[y * result_pitch + x] = (sums[x] + 128) >> 8;
    }
}

INLINE void compensate_blocks(const uint8_t *plane, const int16_t *vectors, ptrdiff_t rows, ptrdiff_t columns,
                              int size, int length, const int16_t *taps, int32_t *result) {
    const int phase_bits = size == 8 ? 2 : 3, before = length / 2 - 1, window = size + length - 1;
    const int phase_mask = (1 << phase_bits) - 1;
    const ptrdiff_t height = rows * size, width = columns * size;
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t column = 0; column < columns; column++) {
            const int16_t *vector = vectors + 2 * (row * columns + column);
            /* Beyond 2 * size outside the picture every sample equals the edge: clamping changes nothing. */
            ptrdiff_t top = clamp(row * size + (vector[1] >> phase_bits), -2 * size, height + size) - before;
            ptrdiff_t left = clamp(column * size + (vector[0] >> phase_bits), -2 * size, width + size) - before;
            uint8_t patch[WINDOW * WINDOW];
            const uint8_t *samples = plane + top * width + left;
            ptrdiff_t pitch = width;
            if (top < 0 || left < 0 || top + window > height || left + window > width) {
                gather(plane, height, width, top, left, window, patch);
                samples = patch;
                pitch = WINDOW;
            }
            int32_t *out = result + row * size * width + column * size;
            const int px = vector[0] & phase_mask, py = vector[1] & phase_mask;
            if (px == 0 && py == 0)
                for (int y = 0; y < size; y++)
                    for (int x = 0; x < size; x++)
                        out[y * width + x] = samples[(y + before) * pitch + x + before] << 4;
            else
                filter_block(samples, pitch, taps + py * length, taps + px * length, size, length, out, width);
        }
}

VECTORISED_SHORT void compensate_plane(const uint8_t *plane, const int16_t *vectors, ptrdiff_t rows, ptrdiff_t columns,
                                 int size, const int16_t *taps, int32_t *result) {
    if (size == 8)
        compensate_blocks(plane, vectors, rows, columns, 8, 8, taps, result);
    else
        compensate_blocks(plane, vectors, rows, columns, 4, 4, taps, result);
}
