/* The integer DCT: quaver.runtime.transform.

   Rows of the matrix are even or odd in both directions, so a quarter of the products does: samples are folded into
   sums and differences before them (forward) or after (inverse). Sums of 2**15 times a row's or column's absolute
   values, at most 2**15 by Cauchy-Schwarz, stay within 2**30, and so does any part of them. */
#include "kernels.h"

#include <string.h>

enum { LARGEST = 64, QUARTER = 16 };

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

INLINE int forward_block(const int32_t *restrict samples, ptrdiff_t pitch, const int32_t tables[4][QUARTER][QUARTER],
                         int size, int32_t *restrict out) {
    const int half = size / 2, quarter = half * half;
    int32_t folded[4][QUARTER];
    uint32_t outside = 0;
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) outside |= ((uint32_t)samples[y * pitch + x] + 32768u) & ~65535u;
    if (outside) return -1;
    for (int y = 0; y < half; y++)
        for (int x = 0; x < half; x++) {
            const int32_t *top = samples + y * pitch, *bottom = samples + (size - 1 - y) * pitch;
            const int32_t a = top[x] + top[size - 1 - x], b = top[x] - top[size - 1 - x];
            const int32_t c = bottom[x] + bottom[size - 1 - x], d = bottom[x] - bottom[size - 1 - x];
            folded[0][y * half + x] = a + c;
            folded[1][y * half + x] = b + d;
            folded[2][y * half + x] = a - c;
            folded[3][y * half + x] = b - d;
        }
    for (int parity = 0; parity < 4; parity++) {
        int32_t sums[QUARTER] = {0};
        for (int n = 0; n < quarter; n++)
            for (int k = 0; k < quarter; k++) sums[k] += tables[parity][n][k] * folded[parity][n];
        for (int k = 0; k < quarter; k++) out[parity * quarter + k] = (sums[k] + 2048) >> 12;
    }
    return 0;
}

INLINE int forward_plane(const int32_t *plane, ptrdiff_t rows, ptrdiff_t columns, int size, const int32_t *matrix,
                         int32_t *coefficients) {
    const int half = size / 2, quarter = half * half;
    int32_t tables[4][QUARTER][QUARTER], row_of[8][LARGEST];
    quarters(matrix, size, tables);
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t start = 0; start < columns; start += 8) {
            const ptrdiff_t count = columns - start < 8 ? columns - start : 8;
            for (ptrdiff_t n = 0; n < count; n++)
                if (forward_block(plane + row * size * columns * size + (start + n) * size, columns * size, tables, size,
                                  row_of[n]))
                    return -1;
            for (int k = 0; k < size * size; k++) {
                const int v = k / size, u = k % size;
                const int from = (2 * (v & 1) + (u & 1)) * quarter + v / 2 * half + u / 2;
                int32_t *out = coefficients + (k * rows + row) * columns + start;
                for (ptrdiff_t n = 0; n < count; n++) out[n] = row_of[n][from];
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

INLINE void inverse_block(const int32_t *restrict coefficients, const int32_t tables[4][QUARTER][QUARTER], int size,
                          int32_t *restrict out, ptrdiff_t pitch) {
    const int half = size / 2, quarter = half * half;
    int32_t sums[4][QUARTER];
    for (int parity = 0; parity < 4; parity++) {
        int32_t total[QUARTER] = {0};
        for (int k = 0; k < quarter; k++) {
            const int32_t value = coefficients[parity * quarter + k];
            if (value == 0) continue;
            for (int n = 0; n < quarter; n++) total[n] += tables[parity][k][n] * value;
        }
        for (int n = 0; n < quarter; n++) sums[parity][n] = total[n];
    }
    for (int y = 0; y < half; y++)
        for (int x = 0; x < half; x++) {
            const int n = y * half + x;
            const int32_t a = sums[0][n] + sums[1][n], b = sums[0][n] - sums[1][n];
            const int32_t c = sums[2][n] + sums[3][n], d = sums[2][n] - sums[3][n];
            out[y * pitch + x] = (a + c + 2048) >> 12;
            out[y * pitch + size - 1 - x] = (b + d + 2048) >> 12;
            out[(size - 1 - y) * pitch + x] = (a - c + 2048) >> 12;
            out[(size - 1 - y) * pitch + size - 1 - x] = (b - d + 2048) >> 12;
        }
}

INLINE void inverse_plane(const int32_t *coefficients, ptrdiff_t rows, ptrdiff_t columns, int size,
                          const int32_t *matrix, int32_t *plane) {
    const int half = size / 2, quarter = half * half;
    int32_t tables[4][QUARTER][QUARTER], transposed[4][QUARTER][QUARTER], row_of[8][LARGEST];
    quarters(matrix, size, tables);
    for (int n = 0; n < 4 * quarter * quarter; n++) {
        const int parity = n / (quarter * quarter), k = n / quarter % quarter, sample = n % quarter;
        transposed[parity][k][sample] = tables[parity][sample][k];
    }
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t start = 0; start < columns; start += 8) {
            const ptrdiff_t count = columns - start < 8 ? columns - start : 8;
            int32_t any[8] = {0};
            for (int k = 0; k < size * size; k++) {
                const int v = k / size, u = k % size;
                const int to = (2 * (v & 1) + (u & 1)) * quarter + v / 2 * half + u / 2;
                const int32_t *in = coefficients + (k * rows + row) * columns + start;
                for (ptrdiff_t n = 0; n < count; n++) {
                    const int32_t value = in[n] < -32768 ? -32768 : in[n] > 32767 ? 32767 : in[n];
                    row_of[n][to] = value;
                    any[n] |= value;
                }
            }
            for (ptrdiff_t n = 0; n < count; n++) {
                int32_t *out = plane + row * size * columns * size + (start + n) * size;
                if (any[n])
                    inverse_block(row_of[n], transposed, size, out, columns * size);
                else
                    for (int y = 0; y < size; y++) memset(out + y * columns * size, 0, sizeof(int32_t) * (size_t)size);
            }
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
