/* Choosing the four vectors of every area by the rate of their Haar latents: Search.settle_round and arrangements
   in quaver.codec.motion_rounds, MotionRate.bits in quaver.codec.motion_rate. */
#include "kernels.h"

#include <string.h>

typedef struct {
    const Search *search;
    ptrdiff_t row, column; /* of the area */
    int predicted[2];
    const float *averages, *details; /* bits of their magnitudes in this area's class */
    ptrdiff_t length_count;
    int16_t chosen[8]; /* top left, top right, bottom left, bottom right */
    float lowest;
} Area;

INLINE float bits_of(const Area *area, const float *lengths, int latent) {
    const ptrdiff_t magnitude = latent < 0 ? -latent : latent;
    return lengths[magnitude < area->length_count ? magnitude : area->length_count - 1];
}

/* The rate of four vectors; the order of the sum is that of the reference. */
INLINE float area_bits(const Area *area, const int16_t vectors[8]) {
    int average[2], horizontal[2], vertical[2], diagonal[2];
    for (int c = 0; c < 2; c++) {
        const int top = (vectors[c] + vectors[2 + c]) >> 1, bottom = (vectors[4 + c] + vectors[6 + c]) >> 1;
        const int above = vectors[c] - vectors[2 + c], below = vectors[4 + c] - vectors[6 + c];
        average[c] = ((top + bottom) >> 1) - area->predicted[c];
        vertical[c] = top - bottom;
        horizontal[c] = (above + below) >> 1;
        diagonal[c] = above - below;
    }
    float total = bits_of(area, area->averages, average[0]);
    total += bits_of(area, area->averages, average[1]);
    total += bits_of(area, area->details, horizontal[0]);
    total += bits_of(area, area->details, horizontal[1]);
    total += bits_of(area, area->details, vertical[0]);
    total += bits_of(area, area->details, vertical[1]);
    total += bits_of(area, area->details, diagonal[0]);
    total += bits_of(area, area->details, diagonal[1]);
    return total;
}

static void try_vectors(Area *area, const int16_t vectors[8]) {
    if (area->lowest >= 0 && memcmp(vectors, area->chosen, sizeof area->chosen) == 0) return;
    const float rate = area->search->bit_cost * area_bits(area, vectors);
    const int first = area->lowest < 0;
    int32_t error = 0; /* at most 256 * 255**2 < 2**24 */
    float total = rate;
    for (int n = 0; n < 4; n++) {
        if (!first && total >= area->lowest) return; /* what follows only adds to it */
        error += distortion(area->search, 2 * area->row + n / 2, 2 * area->column + n % 2, vectors[2 * n],
                            vectors[2 * n + 1]);
        total = (float)error + rate;
    }
    if (first || total < area->lowest) {
        area->lowest = total;
        memcpy(area->chosen, vectors, sizeof area->chosen);
    }
}

static void try_four(Area *area, const int16_t *a, const int16_t *b, const int16_t *c, const int16_t *d) {
    int16_t vectors[8] = {a[0], a[1], b[0], b[1], c[0], c[1], d[0], d[1]};
    for (int n = 0; n < 8; n++) vectors[n] = (int16_t)clamp(vectors[n], -VECTOR_LIMIT, VECTOR_LIMIT);
    try_vectors(area, vectors);
}

static void settle_area(Area *area, const int16_t *best, ptrdiff_t reach) {
    static const int steps[4][2] = {{0, -1}, {0, 1}, {-1, 0}, {1, 0}}; /* right, down */
    const ptrdiff_t columns = area->search->columns, areas_down = area->search->rows / 2, areas_along = columns / 2;
    const int16_t *top = best + 2 * (2 * area->row * columns + 2 * area->column), *bottom = top + 2 * columns;
    const int16_t *corner[2][2] = {{top, top + 2}, {bottom, bottom + 2}};
    area->lowest = -1;
    try_four(area, corner[0][0], corner[0][1], corner[1][0], corner[1][1]);
    for (int n = 0; n < 4; n++) {
        const int16_t *one = corner[n / 2][n % 2];
        try_four(area, one, one, one, one);
    }
    for (int side = 0; side < 2; side++) {
        const int16_t *up = corner[0][side], *down = corner[1][side];
        try_four(area, up, up, down, down);
        const int16_t *left = corner[side][0], *right = corner[side][1];
        try_four(area, left, right, left, right);
    }
    int16_t expected[2];
    for (int c = 0; c < 2; c++) expected[c] = (int16_t)clamp(area->predicted[c], -VECTOR_LIMIT, VECTOR_LIMIT);
    try_four(area, expected, expected, expected, expected);
    for (int n = 0; n < 4; n++) {
        const ptrdiff_t row = clamp(area->row + reach * steps[n][1], 0, areas_down - 1);
        const ptrdiff_t column = clamp(area->column + reach * steps[n][0], 0, areas_along - 1);
        const int16_t *other = best + 2 * (2 * row * columns + 2 * column);
        try_four(area, other, other, other, other);
    }
    for (int n = 0; n < 4; n++) {
        int16_t moved[4][2];
        for (int k = 0; k < 8; k++) moved[k / 2][k % 2] = (int16_t)(corner[k / 4][k / 2 % 2][k % 2] + steps[n][k % 2]);
        try_four(area, moved[0], moved[1], moved[2], moved[3]);
    }
}

void settle_round(const Search *search, const int16_t *best, const int32_t *predicted, const uint8_t *classes,
                  const float *lengths, ptrdiff_t length_count, ptrdiff_t reach, int16_t *result) {
    const ptrdiff_t rows = search->rows / 2, columns = search->columns / 2;
    for (ptrdiff_t row = 0; row < rows; row++)
        for (ptrdiff_t column = 0; column < columns; column++) {
            const ptrdiff_t number = row * columns + column;
            const float *own = lengths + (classes[number] & 3) * length_count;
            Area area = {.search = search, .row = row, .column = column, .averages = own,
                         .details = own + 4 * length_count, .length_count = length_count};
            /* No average is further away; this keeps differences inside an int. */
            for (int c = 0; c < 2; c++)
                area.predicted[c] = (int)clamp(predicted[c * rows * columns + number], -32768, 32767);
            settle_area(&area, best, reach);
            for (int n = 0; n < 4; n++)
                memcpy(result + 2 * ((2 * row + n / 2) * search->columns + 2 * column + n % 2), area.chosen + 2 * n,
                       2 * sizeof(int16_t));
        }
}
