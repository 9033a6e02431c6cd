/* All sixteen quarter-sample phases of a plane: quaver.runtime.interpolate.phase_planes. */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

/* Filtered values are integers below 2**24 (255 * 112 * 112), which float32 holds exactly in any order of sums;
   float32 multiplies faster than int32 on most machines. */

/* One picture row, extended by `margin` on both sides, through the four horizontal filters: four rows of `length`,
   each `pitch` after the one before. */
VECTORISED void filter_row(const uint8_t *restrict samples, ptrdiff_t width, ptrdiff_t margin, const float *taps,
                           float *restrict extended, float *restrict filtered, ptrdiff_t pitch) {
    const ptrdiff_t length = width + 2 * margin;
    for (ptrdiff_t x = 0; x < margin + 3; x++) extended[x] = samples[0];
    for (ptrdiff_t x = 0; x < width; x++) extended[margin + 3 + x] = samples[x];
    for (ptrdiff_t x = margin + 3 + width; x < length + 7; x++) extended[x] = samples[width - 1];
    for (int phase = 0; phase < 4; phase++) {
        const float *t = taps + 8 * phase;
        const float t0 = t[0], t1 = t[1], t2 = t[2], t3 = t[3], t4 = t[4], t5 = t[5], t6 = t[6], t7 = t[7];
        float *restrict out = filtered + phase * pitch;
        for (ptrdiff_t x = 0; x < length; x++) {
            const float *e = extended + x;
            out[x] = t0 * e[0] + t1 * e[1] + t2 * e[2] + t3 * e[3] + t4 * e[4] + t5 * e[5] + t6 * e[6] + t7 * e[7];
        }
    }
}

INLINE int16_t rounded(float sum) {
    return (int16_t)(((int32_t)sum + 128 + (8 << 8)) >> 12); /* the prediction's rounding, then that to 8 bits */
}

/* In two loops, which vectorise better than one. */
INLINE void eight_bits(const int16_t *restrict values, ptrdiff_t length, uint8_t *restrict out) {
    for (ptrdiff_t x = 0; x < length; x++) out[x] = (uint8_t)(values[x] < 0 ? 0 : values[x] > 255 ? 255 : values[x]);
}

/* Eight filtered rows through one vertical filter. */
VECTORISED void filter_column(const float *const rows[8], ptrdiff_t length, const float *t, int16_t *restrict wide,
                              uint8_t *restrict out) {
    const float *a = rows[0], *b = rows[1], *c = rows[2], *d = rows[3], *e = rows[4], *f = rows[5], *g = rows[6],
                *h = rows[7];
    const float t0 = t[0], t1 = t[1], t2 = t[2], t3 = t[3], t4 = t[4], t5 = t[5], t6 = t[6], t7 = t[7];
    for (ptrdiff_t x = 0; x < length; x++)
        wide[x] = rounded(t0 * a[x] + t1 * b[x] + t2 * c[x] + t3 * d[x] + t4 * e[x] + t5 * f[x] + t6 * g[x] + t7 * h[x]);
    eight_bits(wide, length, out);
}

VECTORISED void round_row(const float *restrict row, ptrdiff_t length, int16_t *restrict wide, uint8_t *restrict out) {
    for (ptrdiff_t x = 0; x < length; x++) wide[x] = rounded(64 * row[x]);
    eight_bits(wide, length, out);
}

int phase_planes(const uint8_t *reference, ptrdiff_t height, ptrdiff_t width, ptrdiff_t margin, const int16_t *taps,
                 uint8_t *planes) {
    const ptrdiff_t length = width + 2 * margin, lines = height + 2 * margin;
    const ptrdiff_t pitch = (length + 15) / 16 * 16 + 16;
    /* A ring of the eight picture rows in reach, four phases each, one extended row, and one of 16 bits. */
    float *ring = malloc(sizeof(float) * (size_t)(34 * pitch + 16));
    if (ring == NULL) return -1;
    float *extended = ring + 32 * pitch, weights[32];
    int16_t *wide = (int16_t *)(extended + pitch + 16);
    for (int n = 0; n < 32; n++) weights[n] = taps[n];
    ptrdiff_t filtered = 0; /* picture rows done */
    for (ptrdiff_t line = 0; line < lines; line++) {
        const ptrdiff_t y = line - margin;
        for (; filtered <= clamp(y + 4, 0, height - 1); filtered++)
            filter_row(reference + filtered * width, width, margin, weights, extended,
                       ring + 4 * pitch * (filtered & 7), pitch);
        /* Far outside every line equals the one before. */
        const int repeats = line > 0 && (y + 4 <= 0 || y - 4 >= height - 1);
        for (int phase = 0; phase < 16; phase++) {
            const int px = phase & 3, py = phase >> 2;
            uint8_t *out = planes + (phase * lines + line) * length;
            if (repeats) {
                memcpy(out, out - length, (size_t)length);
                continue;
            }
            const float *rows[8];
            for (int tap = 0; tap < 8; tap++)
                rows[tap] = ring + pitch * (4 * (clamp(y + tap - 3, 0, height - 1) & 7) + px);
            if (py == 0)
                round_row(rows[3], length, wide, out);
            else
                filter_column(rows, length, weights + 8 * py, wide, out);
        }
    }
    free(ring);
    return 0;
}
