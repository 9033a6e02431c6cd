/* Full search at quarter resolution: quaver.codec.motion_coarse.coarse_search. */
#include "kernels.h"

#include <stdlib.h>
#include <string.h>

/* Absolute differences of one row of 2x2 cells: even and odd columns lie apart, so that neighbours in a row are
   neighbours in memory. At most 4 * 4080. */
INLINE void cell_row(const int16_t *restrict current, const int16_t *restrict reference, ptrdiff_t pitch,
                     ptrdiff_t past_pitch, ptrdiff_t even, ptrdiff_t odd, ptrdiff_t columns,
                     uint16_t *restrict cells) {
    const int16_t *c0 = current, *c1 = current + pitch, *c2 = c1 + pitch, *c3 = c2 + pitch;
    const int16_t *r0 = reference + even, *r1 = reference + odd, *r2 = r0 + 2 * past_pitch,
                  *r3 = r1 + 2 * past_pitch;
    for (ptrdiff_t x = 0; x < columns; x++) {
        int16_t a = (int16_t)(c0[x] - r0[x]), b = (int16_t)(c1[x] - r1[x]);
        int16_t c = (int16_t)(c2[x] - r2[x]), d = (int16_t)(c3[x] - r3[x]);
        a = (int16_t)(a < 0 ? -a : a);
        b = (int16_t)(b < 0 ? -b : b);
        c = (int16_t)(c < 0 ? -c : c);
        d = (int16_t)(d < 0 ? -d : d);
        cells[x] = (uint16_t)(a + b + c + d);
    }
}

/* One displacement: costs of all blocks, and where they are the least so far. Three cells still fit 16 bits. */
VECTORISED void try_displacement(const int16_t *restrict current, const int16_t *restrict reference, ptrdiff_t rows,
                                 ptrdiff_t columns, int reach, int down, int right, uint32_t number,
                                 uint16_t *restrict three, uint32_t *restrict lowest, uint32_t *restrict chosen) {
    const ptrdiff_t past_pitch = columns + reach; /* of one parity */
    const ptrdiff_t even = ((right & 1) ? past_pitch : 0) + (right >> 1);
    const ptrdiff_t odd = ((right & 1) ? 0 : past_pitch) + ((right + 1) >> 1);
    const int across = down > reach ? down - reach : reach - down, along = right > reach ? right - reach : reach - right;
    const uint32_t penalty = 64 * (uint32_t)(across + along);
    const ptrdiff_t pitch = columns + 2;
    uint16_t *cells = three + 3 * pitch; /* one row of cells with its ends repeated */
    for (ptrdiff_t row = 0; row <= rows; row++) {
        if (row < rows) {
            cell_row(current + 4 * row * columns, reference + (2 * row + down) * 2 * past_pitch, columns, past_pitch,
                     even, odd, columns, cells + 1);
            cells[0] = cells[1];
            cells[columns + 1] = cells[columns];
            uint16_t *restrict sums = three + (row % 3) * pitch;
            for (ptrdiff_t x = 0; x < columns; x++) sums[x] = (uint16_t)(cells[x] + cells[x + 1] + cells[x + 2]);
        }
        if (row == 0) continue;
        const ptrdiff_t middle = row - 1, above = middle > 0 ? middle - 1 : 0, below = row < rows ? row : middle;
        const uint16_t *a = three + (above % 3) * pitch, *b = three + (middle % 3) * pitch,
                       *c = three + (below % 3) * pitch;
        uint32_t *restrict least = lowest + middle * columns, *restrict which = chosen + middle * columns;
        for (ptrdiff_t x = 0; x < columns; x++) {
            const uint32_t cost = (uint32_t)a[x] + b[x] + c[x] + penalty, old = least[x];
            least[x] = cost < old ? cost : old;
            which[x] = cost < old ? number : which[x];
        }
    }
}

/* (h, w) to (h, 2, w / 2): even columns, then odd. */
static void split_columns(const int16_t *plane, ptrdiff_t height, ptrdiff_t width, int16_t *split) {
    for (ptrdiff_t y = 0; y < height; y++)
        for (ptrdiff_t x = 0; x < width; x++) split[y * width + (x & 1) * (width / 2) + x / 2] = plane[y * width + x];
}

/* `current` (2 rows, 2 columns) and `reference` (2 rows + 2 reach, 2 columns + 2 reach) in sixteenths, 0..4080.
   `order`: ((2 reach + 1)**2,) numbers of displacements as they are tried; of equal costs the first wins. */
int coarse_search(const int16_t *current, const int16_t *reference, ptrdiff_t rows, ptrdiff_t columns, int reach,
                  const int16_t *order, int16_t *chosen) {
    const ptrdiff_t blocks = rows * columns, sides = 2 * reach + 1;
    const ptrdiff_t past_rows = 2 * rows + 2 * reach, past_columns = 2 * columns + 2 * reach;
    int16_t *split = malloc(sizeof(int16_t) * (size_t)(4 * blocks + past_rows * past_columns));
    uint32_t *work = malloc(sizeof(uint32_t) * (size_t)(2 * blocks + 2 * (columns + 2)));
    if (split == NULL || work == NULL) {
        free(split);
        free(work);
        return -1;
    }
    int16_t *past = split + 4 * blocks;
    uint32_t *lowest = work, *which = work + blocks;
    uint16_t *three = (uint16_t *)(work + 2 * blocks); /* four rows of columns + 2 */
    split_columns(current, 2 * rows, 2 * columns, split);
    split_columns(reference, past_rows, past_columns, past);
    memset(lowest, 0xFF, sizeof(uint32_t) * (size_t)blocks);
    memset(which, 0, sizeof(uint32_t) * (size_t)blocks);
    for (ptrdiff_t n = 0; n < sides * sides; n++) {
        const ptrdiff_t number = clamp(order[n], 0, sides * sides - 1);
        try_displacement(split, past, rows, columns, reach, (int)(number / sides), (int)(number % sides),
                         (uint32_t)number, three, lowest, which);
    }
    for (ptrdiff_t n = 0; n < blocks; n++) chosen[n] = (int16_t)which[n];
    free(split);
    free(work);
    return 0;
}
