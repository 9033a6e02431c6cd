/* Values in steps as 8-bit codes: quaver.runtime.companding.compand_steps. */
#include "kernels.h"

#include <math.h>

/* codes = table[clamp(floor((64 value + step / 2) / step), -reach, reach) + reach]; `table` has 2 reach + 1 items.

   The division is in float64: its quotient is off by less than 2**-15 where |64 value| < 2**38, and a quotient that is
   no integer lies 1 / step >= 2**-14 or more away from the next one, so the floor is that of the integers. */
VECTORISED void compand_steps(const int32_t *values, ptrdiff_t channels, ptrdiff_t count, const int32_t *steps,
                              const uint8_t *table, int32_t reach, uint8_t *codes) {
    enum { PART = 1024 };
    int32_t index[PART];
    for (ptrdiff_t channel = 0; channel < channels; channel++) {
        const double step = steps[channel], half = steps[channel] / 2;
        for (ptrdiff_t start = 0; start < count; start += PART) {
            const ptrdiff_t length = count - start < PART ? count - start : PART;
            const int32_t *from = values + channel * count + start;
            uint8_t *to = codes + channel * count + start;
            for (ptrdiff_t n = 0; n < length; n++) {
                double quotient = floor((64.0 * from[n] + half) / step);
                quotient = quotient < -reach ? -reach : quotient;
                quotient = quotient > reach ? reach : quotient;
                index[n] = (int32_t)quotient + reach;
            }
            for (ptrdiff_t n = 0; n < length; n++) to[n] = table[index[n]];
        }
    }
}
