/* What the Haar latents of a field cost on average: MotionRate.around in quaver.codec.motion_rate. */
#include "kernels.h"

#include <stdlib.h>

#define LARGEST 64

INLINE int64_t counted(int latent) {
    const int magnitude = latent < 0 ? -latent : latent;
    return magnitude < LARGEST ? magnitude : LARGEST;
}

/* How much the neighbours' averages differ from this one's. */
static int change(const int32_t *average, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t row, ptrdiff_t column) {
    int total = 0;
    for (int c = 0; c < 2; c++) {
        const int32_t *here = average + (c * rows + row) * columns + column;
        if (row > 0) total += abs(here[0] - here[-columns]);
        if (row < rows - 1) total += abs(here[0] - here[columns]);
        if (column > 0) total += abs(here[0] - here[-1]);
        if (column < columns - 1) total += abs(here[0] - here[1]);
    }
    return total;
}

/* `totals` (3, 4): counted magnitudes of average residuals, of details, and the number of areas, by class. */
int motion_statistics(const int16_t *vectors, const int32_t *past, ptrdiff_t rows, ptrdiff_t columns,
                      int32_t *predicted, uint8_t *classes, int64_t *totals) {
    const ptrdiff_t areas = rows * columns, pitch = 4 * columns;
    int32_t *average = calloc((size_t)(3 * areas), sizeof(int32_t));
    if (average == NULL) return -1;
    int32_t *details = average + 2 * areas;
    for (ptrdiff_t n = 0; n < 2 * areas; n++) {
        const ptrdiff_t c = n / areas, area = n % areas;
        const int16_t *v = vectors + 2 * (area / columns) * pitch + 4 * (area % columns) + c;
        const int top = (v[0] + v[2]) >> 1, bottom = (v[pitch] + v[pitch + 2]) >> 1;
        const int above = v[0] - v[2], below = v[pitch] - v[pitch + 2];
        average[n] = (top + bottom) >> 1;
        details[area] += (int32_t)(counted(top - bottom) + counted((above + below) >> 1) + counted(above - below));
    }
    pyramid_residual(average, past, 2, rows, columns, predicted);
    for (int n = 0; n < 12; n++) totals[n] = 0;
    for (ptrdiff_t area = 0; area < areas; area++) {
        const int changed = change(average, rows, columns, area / columns, area % columns);
        const int number = (changed > 0) + (changed > 8) + (changed > 40);
        classes[area] = (uint8_t)number;
        totals[number] += counted(predicted[area]) + counted(predicted[areas + area]);
        totals[4 + number] += details[area];
        totals[8 + number]++;
    }
    for (ptrdiff_t n = 0; n < 2 * areas; n++) predicted[n] = average[n] - predicted[n];
    free(average);
    return 0;
}
