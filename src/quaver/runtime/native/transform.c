/* The integer DCT: quaver.runtime.transform.

   Rows of the matrix are even or odd in both directions, so a quarter of the products does: samples are folded into
   sums and differences before them (forward) or after (inverse). Sums of 2**15 times a row's or column's absolute
   values, at most 2**15 by Cauchy-Schwarz, stay within 2**30, and so does any part of them. */
#include "kernels.h"

#include <string.h>

enum { QUARTER = 16, LANES = 16 };

/* matrix (n, n) -> one table per parity of (v, u): (sample of the first quarter, coefficient of that parity). */
static void quarters(const int32_t *matrix, int size, int32_t tables[4][QUARTER][QUARTER]) {
    const int half = size / 2, area = size * size;
    for (int parity = 0; parity < 4; parity++)
        for (int sample = 0; sample < half * half; sample++)
            for (int k = 0; k < half * half; k++) {
                const int v = 2 * (k / half) + parity / 2, u = 2 * (k % half) + parity % 2;
                tables[parity][sample][k] = matrix[(v * size + u) * area + sample / half * size + sample % half];
            }
}

/* Up to LANES blocks side by side, each in one lane: samples[n] folded into the first quarter, by parity. */
INLINE uint32_t fold(const int32_t *samples, ptrdiff_t pitch, ptrdiff_t count, int size,
                     int32_t folded[4][QUARTER][LANES]) {
    const int half = size / 2;
    uint32_t outside = 0;
    for (int y = 0; y < half; y++) {
        const int32_t *top = samples + y * pitch, *bottom = samples + (size - 1 - y) * pitch;
        for (ptrdiff_t x = 0; x < count * size; x++)
            outside |= (((uint32_t)top[x] + 32768u) | ((uint32_t)bottom[x] + 32768u)) & ~65535u;
        if (outside) return outside;
        for (int x = 0; x < half; x++)
            for (ptrdiff_t lane = 0; lane < count; lane++) {
                const ptrdiff_t left = lane * size + x, right = lane * size + size - 1 - x;
                const int32_t a = top[left] + top[right], b = top[left] - top[right];
                const int32_t c = bottom[left] + bottom[right], d = bottom[left] - bottom[right];
                folded[0][y * half + x][lane] = a + c;
                folded[1][y * half + x][lane] = b + d;
                folded[2][y * half + x][lane] = a - c;
                folded[3][y * half + x][lane] = b - d;
            }
    }
    return 0;
}

INLINE int forward_plane(const int32_t *plane, ptrdiff_t rows, ptrdiff_t columns, int size, const int32_t *matrix,
                         int32_t *coefficients) {
    const int half = size / 2, quarter = half * half;
    int32_t tables[4][QUARTER][QUARTER], folded[4][QUARTER][LANES] = {{{0}}};
    quarters(matrix, size, tables);
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t start = 0; start < columns; start += LANES) {
            const ptrdiff_t count = columns - start < LANES ? columns - start : LANES;
            if (fold(plane + row * size * columns * size + start * size, columns * size, count, size, folded)) return -1;
            for (int parity = 0; parity < 4; parity++)
                for (int k = 0; k < quarter; k++) {
                    int32_t sums[LANES] = {0};
                    for (int n = 0; n < quarter; n++)
                        for (int lane = 0; lane < LANES; lane++)
                            sums[lane] += tables[parity][n][k] * folded[parity][n][lane];
                    const int v = 2 * (k / half) + parity / 2, u = 2 * (k % half) + parity % 2;
                    int32_t *out = coefficients + ((v * size + u) * rows + row) * columns + start;
                    for (ptrdiff_t lane = 0; lane < count; lane++) out[lane] = (sums[lane] + 2048) >> 12;
                }
        }
    return 0;
}

/* Samples (rows size, columns size) to coefficients (size**2, rows, columns). -1 where a sample exceeds 16 bits. */
VECTORISED int forward_transform(const int32_t *plane, ptrdiff_t rows, ptrdiff_t columns, int size,
                                 const int32_t *matrix, int32_t *coefficients) {
    return size == 8 ? forward_plane(plane, rows, columns, 8, matrix, coefficients)
                     : forward_plane(plane, rows, columns, 4, matrix, coefficients);
}

/* LANES blocks' sums of quarters, by parity, to samples. */
INLINE void unfold(const int32_t sums[4][QUARTER][LANES], ptrdiff_t count, int size, int32_t *samples,
                   ptrdiff_t pitch) {
    const int half = size / 2;
    for (int y = 0; y < half; y++) {
        int32_t *top = samples + y * pitch, *bottom = samples + (size - 1 - y) * pitch;
        for (ptrdiff_t lane = 0; lane < count; lane++)
            for (int x = 0; x < half; x++) {
                const int n = y * half + x;
                const ptrdiff_t left = lane * size + x, right = lane * size + size - 1 - x;
                const int32_t a = sums[0][n][lane] + sums[1][n][lane], b = sums[0][n][lane] - sums[1][n][lane];
                const int32_t c = sums[2][n][lane] + sums[3][n][lane], d = sums[2][n][lane] - sums[3][n][lane];
                top[left] = (a + c + 2048) >> 12;
                top[right] = (b + d + 2048) >> 12;
                bottom[left] = (a - c + 2048) >> 12;
                bottom[right] = (b - d + 2048) >> 12;
            }
    }
}

/* Coefficients of one parity, clamped; whether any is not zero. */
INLINE int32_t clamped(const int32_t *coefficients, ptrdiff_t stride, ptrdiff_t count, int size, int parity,
                       int32_t values[QUARTER][LANES]) {
    const int half = size / 2;
    int32_t any = 0;
    for (int k = 0; k < half * half; k++) {
        const int v = 2 * (k / half) + parity / 2, u = 2 * (k % half) + parity % 2;
        const int32_t *in = coefficients + (v * size + u) * stride;
        for (ptrdiff_t lane = 0; lane < count; lane++) {
            values[k][lane] = in[lane] < -32768 ? -32768 : in[lane] > 32767 ? 32767 : in[lane];
            any |= in[lane];
        }
    }
    return any;
}

INLINE void inverse_plane(const int32_t *coefficients, ptrdiff_t rows, ptrdiff_t columns, int size,
                          const int32_t *matrix, int32_t *plane) {
    const int quarter = size * size / 4;
    int32_t tables[4][QUARTER][QUARTER], transposed[4][QUARTER][QUARTER];
    int32_t values[QUARTER][LANES] = {{0}}, sums[4][QUARTER][LANES];
    quarters(matrix, size, tables);
    /* Along rows the compiler would vectorise the sum below over k instead of lanes. */
    for (int n = 0; n < 4 * quarter * quarter; n++) {
        const int parity = n / (quarter * quarter), sample = n / quarter % quarter, k = n % quarter;
        transposed[parity][k][sample] = tables[parity][sample][k];
    }
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t start = 0; start < columns; start += LANES) {
            const ptrdiff_t count = columns - start < LANES ? columns - start : LANES;
            const int32_t *own = coefficients + row * columns + start;
            int32_t any = 0;
            for (int parity = 0; parity < 4; parity++) {
                const int32_t some = clamped(own, rows * columns, count, size, parity, values);
                any |= some;
                if (some == 0) { /* most often */
                    memset(sums[parity], 0, sizeof sums[parity]);
                    continue;
                }
                for (int n = 0; n < quarter; n++) {
                    int32_t sum[LANES] = {0};
                    for (int k = 0; k < quarter; k++)
                        for (int lane = 0; lane < LANES; lane++) sum[lane] += transposed[parity][k][n] * values[k][lane];
                    for (int lane = 0; lane < LANES; lane++) sums[parity][n][lane] = sum[lane];
                }
            }
            int32_t *out = plane + row * size * columns * size + start * size;
            if (any)
                unfold(sums, count, size, out, columns * size);
            else
                for (int y = 0; y < size; y++)
                    memset(out + y * columns * size, 0, sizeof(int32_t) * (size_t)(count * size));
        }
}

/* The inverse, of coefficients clamped to 16 bits. */
VECTORISED void inverse_transform(const int32_t *coefficients, ptrdiff_t rows, ptrdiff_t columns, int size,
                                  const int32_t *matrix, int32_t *plane) {
    if (size == 8)
        inverse_plane(coefficients, rows, columns, 8, matrix, plane);
    else
        inverse_plane(coefficients, rows, columns, 4, matrix, plane);
}
