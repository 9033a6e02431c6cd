/* quaver.runtime.native._kernels: what Python calls. Each function checks its arrays, lets other threads run and
   does its work. Results are written into arrays that the caller has made; see protocol.py. */
#include "arguments.h"
#include "kernels.h"

#define TAPS_LIMIT 128 /* of a filter's absolute taps: 255 of them fit int16, twice filtered they fit float32 */

KERNEL(py_phase_planes) {
    Arrays arrays = {.count = 0};
    Py_ssize_t plane[2] = {ANY, ANY}, filters[2] = {4, 8};
    int done = 0, failed = 0;
    if (!has_arguments(given, 4)) return NULL;
    const long margin = whole(args[1], "margin", 0, 1024);
    const uint8_t *reference = margin < 0 ? NULL : take(&arrays, args[0], "reference", "uint8", 0, 2, plane);
    const int16_t *taps = reference == NULL ? NULL : take(&arrays, args[2], "taps", "int16", 0, 2, filters);
    if (taps != NULL && rows_within(taps, 4, 8, TAPS_LIMIT)) {
        Py_ssize_t shape[3] = {16, plane[0] + 2 * margin, plane[1] + 2 * margin};
        uint8_t *planes = take(&arrays, args[3], "planes", "uint8", 1, 3, shape);
        if (planes != NULL) {
            RUN(failed = phase_planes(reference, plane[0], plane[1], margin, taps, planes));
            done = 1;
        }
    }
    return finish(&arrays, done, failed);
}

static PyObject *pyramid(PyObject *const *args, Py_ssize_t given, int inverse) {
    Arrays arrays = {.count = 0};
    Py_ssize_t shape[3] = {ANY, ANY, ANY};
    if (!has_arguments(given, 3)) return NULL;
    const int32_t *from = take(&arrays, args[0], "values", "int32", 0, 3, shape), *past = NULL;
    if (from != NULL && args[1] != Py_None) past = take(&arrays, args[1], "past", "int32", 0, 3, shape);
    int32_t *to = PyErr_Occurred() ? NULL : take(&arrays, args[2], "result", "int32", 1, 3, shape);
    if (to != NULL) {
        if (inverse)
            RUN(pyramid_reconstruct(from, past, shape[0], shape[1], shape[2], to));
        else
            RUN(pyramid_residual(from, past, shape[0], shape[1], shape[2], to));
    }
    return finish(&arrays, to != NULL, 0);
}

KERNEL(py_pyramid_residual) { return pyramid(args, given, 0); }
KERNEL(py_pyramid_reconstruct) { return pyramid(args, given, 1); }

KERNEL(py_compensate_plane) {
    Arrays arrays = {.count = 0};
    Py_ssize_t field[3] = {ANY, ANY, 2}, filters[2] = {ANY, ANY};
    int32_t *result = NULL;
    if (!has_arguments(given, 4)) return NULL;
    const int16_t *vectors = take(&arrays, args[1], "vectors", "int16", 0, 3, field);
    const int16_t *taps = vectors == NULL ? NULL : take(&arrays, args[2], "taps", "int16", 0, 2, filters);
    const int luma = filters[0] == 4 && filters[1] == 8, size = luma ? 8 : 4;
    if (taps != NULL && !luma && (filters[0] != 8 || filters[1] != 4))
        PyErr_SetString(PyExc_ValueError, "taps: legal are (4, 8) for luma and (8, 4) for chroma");
    else if (taps != NULL && rows_within(taps, filters[0], filters[1], TAPS_LIMIT)) {
        Py_ssize_t shape[2] = {field[0] * size, field[1] * size};
        const uint8_t *plane = take(&arrays, args[0], "plane", "uint8", 0, 2, shape);
        if (plane != NULL) result = take(&arrays, args[3], "result", "int32", 1, 2, shape);
        if (result != NULL) RUN(compensate_plane(plane, vectors, field[0], field[1], size, taps, result));
    }
    return finish(&arrays, result != NULL, 0);
}

/* A square matrix of 8x8 or 4x4 transforms whose sums fit 32 bits: rows and columns of at most 2**15 in magnitude. */
static const int32_t *take_matrix(Arrays *arrays, PyObject *object, int *size) {
    Py_ssize_t shape[2] = {ANY, ANY};
    const int32_t *matrix = take(arrays, object, "matrix", "int32", 0, 2, shape);
    if (matrix == NULL) return NULL;
    *size = shape[0] == 64 ? 8 : 4;
    if (shape[0] != shape[1] || (shape[0] != 64 && shape[0] != 16)) {
        PyErr_SetString(PyExc_ValueError, "matrix: (64, 64) and (16, 16) are legal");
        return NULL;
    }
    for (Py_ssize_t a = 0; a < shape[0]; a++) {
        int64_t row = 0, column = 0;
        for (Py_ssize_t b = 0; b < shape[0]; b++) {
            const int64_t along = matrix[a * shape[0] + b], down = matrix[b * shape[0] + a];
            row += along < 0 ? -along : along;
            column += down < 0 ? -down : down;
        }
        if (row > 1 << 15 || column > 1 << 15) {
            PyErr_SetString(PyExc_ValueError, "matrix: a row or column exceeds 2**15 in magnitude");
            return NULL;
        }
    }
    return matrix;
}

/* (plane, matrix, coefficients): False, with `coefficients` undefined, where a sample exceeds 16 bits. */
KERNEL(py_forward_transform) {
    Arrays arrays = {.count = 0};
    Py_ssize_t plane_shape[2] = {ANY, ANY};
    int size, outside = 0;
    int32_t *coefficients = NULL;
    if (!has_arguments(given, 3)) return NULL;
    const int32_t *matrix = take_matrix(&arrays, args[1], &size);
    const int32_t *plane = matrix == NULL ? NULL : take(&arrays, args[0], "plane", "int32", 0, 2, plane_shape);
    if (plane != NULL && (plane_shape[0] % size || plane_shape[1] % size))
        PyErr_Format(PyExc_ValueError, "plane: sizes must be multiples of %d", size);
    else if (plane != NULL) {
        Py_ssize_t shape[3] = {size * size, plane_shape[0] / size, plane_shape[1] / size};
        coefficients = take(&arrays, args[2], "coefficients", "int32", 1, 3, shape);
        if (coefficients != NULL)
            RUN(outside = forward_transform(plane, shape[1], shape[2], size, matrix, coefficients));
    }
    release(&arrays);
    return coefficients == NULL ? NULL : PyBool_FromLong(outside == 0);
}

KERNEL(py_inverse_transform) {
    Arrays arrays = {.count = 0};
    int size, done = 0;
    if (!has_arguments(given, 3)) return NULL;
    const int32_t *matrix = take_matrix(&arrays, args[1], &size);
    if (matrix != NULL) {
        Py_ssize_t shape[3] = {size * size, ANY, ANY};
        const int32_t *coefficients = take(&arrays, args[0], "coefficients", "int32", 0, 3, shape);
        Py_ssize_t plane_shape[2] = {shape[1] * size, shape[2] * size};
        int32_t *plane = coefficients == NULL ? NULL : take(&arrays, args[2], "plane", "int32", 1, 2, plane_shape);
        if (plane != NULL) {
            RUN(inverse_transform(coefficients, shape[1], shape[2], size, matrix, plane));
            done = 1;
        }
    }
    return finish(&arrays, done, 0);
}

KERNEL(py_quantize) {
    Arrays arrays = {.count = 0};
    Py_ssize_t shape[3] = {96, ANY, ANY}, means_shape[3] = {ANY, ANY, ANY};
    int32_t *symbols = NULL;
    if (!has_arguments(given, 5)) return NULL;
    const float rounding = (float)PyFloat_AsDouble(args[3]);
    if (!PyErr_Occurred() && !(rounding >= 0 && rounding <= 1))
        PyErr_SetString(PyExc_ValueError, "rounding: 0 to 1 are legal");
    const float *scaled = PyErr_Occurred() ? NULL : take(&arrays, args[0], "scaled", "float32", 0, 3, shape);
    const float *means = scaled == NULL ? NULL : take(&arrays, args[1], "means", "float32", 0, 3, means_shape);
    const int one = means_shape[0] == 1 && means_shape[1] == 1 && means_shape[2] == 1;
    if (means != NULL && (shape[1] % 2 || shape[2] % 2))
        PyErr_SetString(PyExc_ValueError, "scaled: sizes must be even");
    else if (means != NULL && !one && memcmp(means_shape, shape, sizeof shape) != 0)
        PyErr_SetString(PyExc_ValueError, "means: one, or as many as scaled, are legal");
    else if (means != NULL) {
        Py_ssize_t levels_shape[3] = {2, shape[1] / 2, shape[2] / 2};
        const int32_t *levels = take(&arrays, args[2], "levels", "int32", 0, 3, levels_shape);
        if (levels != NULL) symbols = take(&arrays, args[4], "symbols", "int32", 1, 3, shape);
        if (symbols != NULL) RUN(quantize(scaled, means, one, levels, rounding, shape[1], shape[2], symbols));
    }
    return finish(&arrays, symbols != NULL, 0);
}

KERNEL(py_level_bits) {
    Arrays arrays = {.count = 0};
    Py_ssize_t shape[3] = {96, ANY, ANY}, table_shape[2] = {ANY, 96}, lengths_shape[2] = {ANY, 64};
    int64_t *result = NULL;
    int failed = 0;
    if (!has_arguments(given, 4)) return NULL;
    const int32_t *symbols = take(&arrays, args[0], "symbols", "int32", 0, 3, shape);
    const uint8_t *table = symbols == NULL ? NULL : take(&arrays, args[1], "table", "uint8", 0, 2, table_shape);
    const int32_t *lengths = table == NULL ? NULL : take(&arrays, args[2], "lengths", "int32", 0, 2, lengths_shape);
    int named = lengths != NULL && shape[1] % 2 == 0 && shape[2] % 2 == 0;
    for (Py_ssize_t n = 0; named && n < 96 * table_shape[0]; n++) named = table[n] < lengths_shape[0];
    if (lengths != NULL && !named)
        PyErr_SetString(PyExc_ValueError, "legal are even sizes, and table indices that lengths has");
    else if (lengths != NULL) {
        Py_ssize_t result_shape[4] = {2, table_shape[0], shape[1] / 2, shape[2] / 2};
        result = take(&arrays, args[3], "result", "int64", 1, 4, result_shape);
        if (result != NULL) RUN(failed = level_bits(symbols, table, table_shape[0], lengths, shape[1], shape[2], result));
    }
    return finish(&arrays, result != NULL, failed);
}

KERNEL(py_saved_error) {
    Arrays arrays = {.count = 0};
    Py_ssize_t shape[3] = {96, ANY, ANY};
    double *saved = NULL;
    if (!has_arguments(given, 3)) return NULL;
    const float *scaled = take(&arrays, args[0], "scaled", "float32", 0, 3, shape);
    const int32_t *symbols = scaled == NULL ? NULL : take(&arrays, args[1], "symbols", "int32", 0, 3, shape);
    if (symbols != NULL) {
        Py_ssize_t saved_shape[3] = {2, shape[1], shape[2]};
        saved = take(&arrays, args[2], "saved", "float64", 1, 3, saved_shape);
        if (saved != NULL) RUN(saved_error(scaled, symbols, shape[1], shape[2], saved));
    }
    return finish(&arrays, saved != NULL, 0);
}

KERNEL(py_compand_steps) {
    Arrays arrays = {.count = 0};
    Py_ssize_t shape[2] = {ANY, ANY}, table_shape[1] = {ANY};
    uint8_t *codes = NULL;
    if (!has_arguments(given, 4)) return NULL;
    const int32_t *values = take(&arrays, args[0], "values", "int32", 0, 2, shape);
    Py_ssize_t steps_shape[1] = {shape[0]};
    const int32_t *steps = values == NULL ? NULL : take(&arrays, args[1], "steps", "int32", 0, 1, steps_shape);
    const uint8_t *table = steps == NULL ? NULL : take(&arrays, args[2], "table", "uint8", 0, 1, table_shape);
    int legal = table != NULL && table_shape[0] % 2 == 1;
    for (Py_ssize_t n = 0; legal && n < shape[0]; n++) legal = steps[n] >= 1 && steps[n] <= 1 << 14;
    if (table != NULL && !legal)
        PyErr_SetString(PyExc_ValueError, "legal are steps of 1 to 2**14 and a table of odd length");
    else if (table != NULL) {
        codes = take(&arrays, args[3], "codes", "uint8", 1, 2, shape);
        const int32_t reach = (int32_t)(table_shape[0] / 2);
        if (codes != NULL) RUN(compand_steps(values, shape[0], shape[1], steps, table, reach, codes));
    }
    return finish(&arrays, codes != NULL, 0);
}

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))py_##name, METH_FASTCALL, NULL}
static PyMethodDef methods[] = {
    METHOD(phase_planes),     METHOD(coarse_search),       METHOD(median_field),     METHOD(improve),
    METHOD(settle_round),     METHOD(motion_statistics),   METHOD(pyramid_residual), METHOD(pyramid_reconstruct),
    METHOD(compensate_plane), METHOD(forward_transform),   METHOD(inverse_transform), METHOD(quantize), METHOD(level_bits), METHOD(saved_error),
    METHOD(compand_steps),    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_kernels", .m_doc = "See kernels.h.", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&definition); }
