/* The kernels behind module.c: plain loops over C arrays, no Python inside.

   Every kernel equals the NumPy function that its comment names, bit for bit. Pointers are to C-contiguous arrays
   whose shapes module.c has compared with each other; kernels clamp what indexes memory, so that no value can lead
   outside. */
#ifndef QUAVER_KERNELS_H
#define QUAVER_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* One compilation per vector width, chosen when the module is loaded; elsewhere the compiler's default.
   VECTORISED_SHORT is for loops over one 8x8 block, whose rows would be shuffled together to fill 64 bytes. */
#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__gnu_linux__) && \
    defined(__GLIBC__) && !defined(QUAVER_NO_CLONES)
#if __GNUC__ >= 12
#define VECTORISED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#define VECTORISED_SHORT __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define VECTORISED __attribute__((target_clones("avx512f", "avx2", "default")))
#define VECTORISED_SHORT __attribute__((target_clones("avx2", "default")))
#endif
#else
#define VECTORISED
#define VECTORISED_SHORT
#endif

/* Inlined into each of those compilations. */
#if defined(__GNUC__)
#define INLINE static inline __attribute__((always_inline))
#else
#define INLINE static inline
#endif

#define VECTOR_LIMIT 1023 /* quarter samples, as in quaver.runtime.warp */

INLINE ptrdiff_t clamp(ptrdiff_t value, ptrdiff_t low, ptrdiff_t high) {
    return value < low ? low : value > high ? high : value;
}

/* interpolate.c. 0, or -1 without memory. */
int phase_planes(const uint8_t *reference, ptrdiff_t height, ptrdiff_t width, ptrdiff_t margin, const int16_t *taps,
                 uint8_t *planes);

/* coarse.c. 0, or -1 without memory. */
int coarse_search(const int16_t *current, const int16_t *reference, ptrdiff_t rows, ptrdiff_t columns, int reach,
                  const int16_t *order, int16_t *chosen);

/* motion.c: what stays the same through one search of rows x columns blocks of 8x8. */
typedef struct {
    ptrdiff_t rows, columns, margin;
    const uint8_t *planes, *current;
    const int16_t *previous;
    const float *sizes; /* bits of a component's magnitude */
    ptrdiff_t size_count;
    float bit_cost;
    uint32_t *memo; /* (blocks, MEMO_WAYS, 2): vectors and their squared errors */
} Search;

#define MEMO_WAYS 8
#define MEMO_EMPTY 0x80008000u /* no vector has such components */

void median_field(const int16_t *field, ptrdiff_t rows, ptrdiff_t columns, int16_t *median);
/* 0, or -1 without memory. */
int improve(const Search *search, const int16_t *candidate, int right, int down, int16_t *best, float *cost);
int32_t distortion(const Search *search, ptrdiff_t row, ptrdiff_t column, int dx, int dy);

/* settle.c */
void settle_round(const Search *search, const int16_t *best, const int32_t *predicted, const uint8_t *classes,
                  const float *lengths, ptrdiff_t length_count, ptrdiff_t reach, int16_t *result);

/* rate.c: 0, or -1 without memory. */
int motion_statistics(const int16_t *vectors, const int32_t *past, ptrdiff_t rows, ptrdiff_t columns,
                      int32_t *predicted, uint8_t *classes, int64_t *totals);

/* pyramid.c; `past` may be NULL. */
void pyramid_residual(const int32_t *values, const int32_t *past, ptrdiff_t maps, ptrdiff_t height, ptrdiff_t width,
                      int32_t *coded);
void pyramid_reconstruct(const int32_t *coded, const int32_t *past, ptrdiff_t maps, ptrdiff_t height,
                         ptrdiff_t width, int32_t *values);

/* companding.c; steps are 1 to 2**14. */
void compand_steps(const int32_t *values, ptrdiff_t channels, ptrdiff_t count, const int32_t *steps,
                   const uint8_t *table, int32_t reach, uint8_t *codes);

/* warp.c */
void compensate_plane(const uint8_t *plane, const int16_t *vectors, ptrdiff_t rows, ptrdiff_t columns, int size,
                      const int16_t *taps, int32_t *result);

/* transform.c */
int forward_transform(const int32_t *plane, ptrdiff_t rows, ptrdiff_t columns, int size, const int32_t *matrix,
                      int32_t *coefficients);
void inverse_transform(const int32_t *coefficients, ptrdiff_t rows, ptrdiff_t columns, int size,
                       const int32_t *matrix, int32_t *plane);

/* levels.c; level_bits: 0, or -1 without memory. */
void quantize(const float *scaled, const float *means, int one_mean, const int32_t *levels, float rounding,
              ptrdiff_t rows, ptrdiff_t columns, int32_t *symbols);
int level_bits(const int32_t *symbols, const uint8_t *table, ptrdiff_t count, const int32_t *lengths, ptrdiff_t rows,
               ptrdiff_t columns, int64_t *result);
void saved_error(const float *scaled, const int32_t *symbols, ptrdiff_t rows, ptrdiff_t columns, double *saved);

#endif
