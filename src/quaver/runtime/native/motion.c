/* Trying vectors for all blocks: Search.improve, Search.distortion and median in quaver.codec.motion_rounds. */
#include "kernels.h"

#include <stdlib.h>

INLINE int32_t squared_error(const uint8_t *restrict predicted, ptrdiff_t predicted_pitch,
                             const uint8_t *restrict current, ptrdiff_t pitch) {
    int32_t total = 0;
    int16_t difference[64];
    for (int y = 0; y < 8; y++)
        for (int x = 0; x < 8; x++)
            difference[8 * y + x] = (int16_t)(predicted[y * predicted_pitch + x] - current[y * pitch + x]);
    for (int n = 0; n < 64; n++) total += difference[n] * difference[n];
    return total;
}

VECTORISED_SHORT int32_t block_error(const Search *search, ptrdiff_t row, ptrdiff_t column, int dx, int dy) {
    const ptrdiff_t height = 8 * search->rows, width = 8 * search->columns, margin = search->margin;
    const ptrdiff_t past_pitch = width + 2 * margin, lines = height + 2 * margin;
    /* Beyond the margin every sample repeats the edge; module.c checks that it is at least 16. */
    const ptrdiff_t y = clamp(8 * row + (dy >> 2), -16, height + 8) + margin;
    const ptrdiff_t x = clamp(8 * column + (dx >> 2), -16, width + 8) + margin;
    const uint8_t *plane = search->planes + ((dy & 3) * 4 + (dx & 3)) * lines * past_pitch;
    return squared_error(plane + y * past_pitch + x, past_pitch, search->current + 8 * row * width + 8 * column, width);
}

/* The squared error of one block, remembered: rounds try the same few vectors again and again. */
int32_t distortion(const Search *search, ptrdiff_t row, ptrdiff_t column, int dx, int dy) {
    const uint32_t key = (uint32_t)(uint16_t)dx | (uint32_t)(uint16_t)dy << 16;
    const uint32_t way = (key * 0x9E3779B1u) >> 29; /* of MEMO_WAYS */
    uint32_t *entry = search->memo + 2 * (MEMO_WAYS * (row * search->columns + column) + way);
    if (entry[0] != key) {
        entry[1] = (uint32_t)block_error(search, row, column, dx, dy);
        entry[0] = key;
    }
    return (int32_t)entry[1];
}

INLINE int16_t least(int16_t a, int16_t b) { return a < b ? a : b; }
INLINE int16_t most(int16_t a, int16_t b) { return a > b ? a : b; }

INLINE int16_t median_of_five(int16_t a, int16_t b, int16_t c, int16_t d, int16_t e) {
    const int16_t low = most(least(a, b), least(c, d)), high = least(most(a, b), most(c, d));
    return most(least(low, high), least(most(low, high), e)); /* of low, high and e */
}

/* Per component of the block and its four neighbours; outside the field the block itself stands for them. */
VECTORISED void median_field(const int16_t *restrict field, ptrdiff_t rows, ptrdiff_t columns,
                             int16_t *restrict median) {
    const ptrdiff_t pitch = 2 * columns;
    for (ptrdiff_t row = 0; row < rows; row++) {
        const int16_t *here = field + row * pitch, *up = row > 0 ? here - pitch : here,
                      *down = row < rows - 1 ? here + pitch : here;
        int16_t *restrict out = median + row * pitch;
        for (ptrdiff_t n = 2; n < pitch - 2; n++)
            out[n] = median_of_five(up[n], down[n], here[n - 2], here[n + 2], here[n]);
        for (ptrdiff_t n = 0; n < 2; n++) {
            const ptrdiff_t last = pitch - 2 + n;
            out[n] = median_of_five(up[n], down[n], here[n], here[columns > 1 ? n + 2 : n], here[n]);
            out[last] = median_of_five(up[last], down[last], here[columns > 1 ? last - 2 : last], here[last], here[last]);
        }
    }
}

INLINE float size_of(const Search *search, int32_t component) {
    const int32_t magnitude = component < 0 ? -component : component, last = (int32_t)search->size_count - 1;
    return search->sizes[magnitude < last ? magnitude : last];
}

INLINE float vector_bits(const Search *search, int32_t dx, int32_t dy) {
    const float bits = 0.5f + 2 * (size_of(search, dx) + size_of(search, dy));
    return (dx | dy) == 0 ? 0.25f : bits;
}

/* A row of candidates, moved and clamped, and what each of them costs beside its distortion. */
VECTORISED void rate_row(const Search *search, ptrdiff_t row, const int16_t *restrict candidate, int right, int down,
                         const int16_t *restrict median, int16_t *restrict tried, float *restrict rates) {
    const int16_t *previous = search->previous + 2 * row * search->columns;
    const float bit_cost = search->bit_cost;
    for (ptrdiff_t n = 0; n < 2 * search->columns; n++) {
        const int32_t moved = candidate[n] + (n & 1 ? down : right);
        tried[n] = (int16_t)(moved < -VECTOR_LIMIT ? -VECTOR_LIMIT : moved > VECTOR_LIMIT ? VECTOR_LIMIT : moved);
    }
    for (ptrdiff_t n = 0; n < search->columns; n++) {
        const int32_t dx = tried[2 * n], dy = tried[2 * n + 1];
        const float near = vector_bits(search, dx - median[2 * n], dy - median[2 * n + 1]);
        const float past = vector_bits(search, dx - previous[2 * n], dy - previous[2 * n + 1]) + 1;
        rates[n] = (near < past ? near : past) * bit_cost;
    }
}

int improve(const Search *search, const int16_t *candidate, int right, int down, int16_t *best, float *cost) {
    const ptrdiff_t pitch = 2 * search->columns;
    int16_t *median = malloc(sizeof(int16_t) * (size_t)(pitch * (search->rows + 1)));
    float *rates = malloc(sizeof(float) * (size_t)search->columns);
    if (median == NULL || rates == NULL) {
        free(median);
        free(rates);
        return -1;
    }
    int16_t *tried = median + pitch * search->rows;
    median_field(best, search->rows, search->columns, median);
    for (ptrdiff_t row = 0; row < search->rows; row++) {
        rate_row(search, row, candidate + row * pitch, right, down, median + row * pitch, tried, rates);
        for (ptrdiff_t column = 0; column < search->columns; column++) {
            const ptrdiff_t block = row * search->columns + column;
            if (rates[column] >= cost[block]) continue; /* distortion only adds to it, rounding included */
            const int16_t *vector = tried + 2 * column;
            const float total = (float)distortion(search, row, column, vector[0], vector[1]) + rates[column];
            if (total < cost[block]) {
                cost[block] = total;
                best[2 * block] = vector[0];
                best[2 * block + 1] = vector[1];
            }
        }
    }
    free(median);
    free(rates);
    return 0;
}
