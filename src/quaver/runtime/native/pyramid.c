/* Predicting a map from itself, coarse to fine: quaver.runtime.pyramid. */
#include "kernels.h"

#define COARSEST 16

/* Sums as two's complement numbers wrap, which is what NumPy's do. */
INLINE int32_t plus(int32_t a, int32_t b) { return (int32_t)((uint32_t)a + (uint32_t)b); }
INLINE int32_t minus(int32_t a, int32_t b) { return (int32_t)((uint32_t)a - (uint32_t)b); }
INLINE int32_t least(int32_t a, int32_t b) { return a < b ? a : b; }
INLINE int32_t most(int32_t a, int32_t b) { return a > b ? a : b; }

/* A neighbour's position; outside the map the one across, and where there is neither, one to the side. */
INLINE int32_t neighbour(const int32_t *values, ptrdiff_t height, ptrdiff_t width, ptrdiff_t row, ptrdiff_t column,
                         ptrdiff_t down, ptrdiff_t right) {
    ptrdiff_t r = row + down, c = column + right;
    const ptrdiff_t distance = most((int32_t)(down < 0 ? -down : down), (int32_t)(right < 0 ? -right : right));
    if (r < 0 || r >= height) r = row - down;
    if (c < 0 || c >= width) c = column - right;
    const int no_row = r < 0 || r >= height, no_column = c < 0 || c >= width;
    if (no_row) r = row;
    else if (no_column) r = row - distance;
    if (no_column) c = column;
    else if (no_row) c = column - distance;
    return values[clamp(r, 0, height - 1) * width + clamp(c, 0, width - 1)];
}

static int32_t predict(const int32_t *values, const int32_t *past, ptrdiff_t height, ptrdiff_t width, ptrdiff_t row,
                       ptrdiff_t column, ptrdiff_t half, int diagonal) {
    const ptrdiff_t skew = diagonal ? half : 0;
    const int32_t a = neighbour(values, height, width, row, column, -half, -skew);
    const int32_t b = neighbour(values, height, width, row, column, diagonal ? -half : half, skew);
    const int32_t c = neighbour(values, height, width, row, column, skew, -half);
    const int32_t d = neighbour(values, height, width, row, column, skew, half);
    const int32_t low = most(least(a, b), least(c, d)), high = least(most(a, b), most(c, d)); /* the middle two */
    if (past == NULL) return plus(plus(low, high), 1) >> 1;
    const int32_t e = past[row * width + column];
    return most(least(low, high), least(most(low, high), e));
}

/* Both directions: `from` are values or residuals, `known` the values as far as they are known. */
static void visit(const int32_t *from, const int32_t *past, ptrdiff_t height, ptrdiff_t width, const int32_t *known,
                  int32_t *to, int sign) {
    for (ptrdiff_t row = 0; row < height; row += COARSEST)
        for (ptrdiff_t column = 0; column < width; column += COARSEST) {
            const ptrdiff_t n = row * width + column;
            const int32_t temporal = past != NULL ? past[n] : 0;
            to[n] = sign < 0 ? minus(from[n], temporal) : plus(from[n], temporal);
        }
    for (ptrdiff_t spacing = COARSEST; spacing > 1; spacing /= 2) {
        const ptrdiff_t half = spacing / 2;
        for (int step = 0; step < 3; step++) /* centres, then the middles of horizontal and of vertical sides */
            for (ptrdiff_t row = step == 1 ? 0 : half; row < height; row += spacing)
                for (ptrdiff_t column = step == 2 ? 0 : half; column < width; column += spacing) {
                    const ptrdiff_t n = row * width + column;
                    const int32_t expected = predict(known, past, height, width, row, column, half, step == 0);
                    to[n] = sign < 0 ? minus(from[n], expected) : plus(from[n], expected);
                }
    }
}

void pyramid_residual(const int32_t *values, const int32_t *past, ptrdiff_t maps, ptrdiff_t height, ptrdiff_t width,
                      int32_t *coded) {
    for (ptrdiff_t map = 0; map < maps; map++) {
        const ptrdiff_t start = map * height * width;
        visit(values + start, past != NULL ? past + start : NULL, height, width, values + start, coded + start, -1);
    }
}

void pyramid_reconstruct(const int32_t *coded, const int32_t *past, ptrdiff_t maps, ptrdiff_t height,
                         ptrdiff_t width, int32_t *values) {
    for (ptrdiff_t map = 0; map < maps; map++) {
        const ptrdiff_t start = map * height * width;
        visit(coded + start, past != NULL ? past + start : NULL, height, width, values + start, values + start, 1);
    }
}
