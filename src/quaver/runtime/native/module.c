/* quaver.runtime.native._kernels: what Python calls. Each function checks its arrays, lets other threads run and
   does its work. Results are written into arrays that the caller has made; see protocol.py. */
#include "arguments.h"
#include "kernels.h"

#define TAPS_LIMIT 128 /* of a filter's absolute taps: 255 of them fit int16, twice filtered they fit float32 */

#define KERNEL(name) static PyObject *name(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t given)
#define RUN(work)                           \
    do {                                    \
        Py_BEGIN_ALLOW_THREADS work;        \
        Py_END_ALLOW_THREADS                \
    } while (0)

/* Ends a call: None, or the exception that is set, or, after `failed`, want of memory. */
static PyObject *finish(Arrays *arrays, int done, int failed) {
    release(arrays);
    if (!done) return NULL;
    if (failed) return PyErr_NoMemory();
    Py_INCREF(Py_None);
    return Py_None;
}

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

KERNEL(py_coarse_search) {
    Arrays arrays = {.count = 0};
    Py_ssize_t small[2] = {ANY, ANY};
    int done = 0, failed = 0;
    if (!has_arguments(given, 5)) return NULL;
    const long reach = whole(args[2], "reach", 1, 64);
    const int16_t *current = reach < 0 ? NULL : take(&arrays, args[0], "current", "int16", 0, 2, small);
    if (current != NULL && (small[0] % 2 || small[1] % 2))
        PyErr_SetString(PyExc_ValueError, "current: sizes must be even");
    else if (current != NULL) {
        Py_ssize_t padded[2] = {small[0] + 2 * reach, small[1] + 2 * reach};
        Py_ssize_t count[1] = {(2 * reach + 1) * (2 * reach + 1)}, blocks[2] = {small[0] / 2, small[1] / 2};
        const int16_t *reference = take(&arrays, args[1], "reference", "int16", 0, 2, padded);
        const int16_t *order = reference == NULL ? NULL : take(&arrays, args[3], "order", "int16", 0, 1, count);
        int16_t *chosen = order == NULL ? NULL : take(&arrays, args[4], "chosen", "int16", 1, 2, blocks);
        if (chosen != NULL) {
            RUN(failed = coarse_search(current, reference, blocks[0], blocks[1], (int)reach, order, chosen));
            done = 1;
        }
    }
    return finish(&arrays, done, failed);
}

KERNEL(py_median_field) {
    Arrays arrays = {.count = 0};
    Py_ssize_t shape[3] = {ANY, ANY, 2};
    if (!has_arguments(given, 2)) return NULL;
    const int16_t *field = take(&arrays, args[0], "field", "int16", 0, 3, shape);
    int16_t *median = field == NULL ? NULL : take(&arrays, args[1], "median", "int16", 1, 3, shape);
    if (median != NULL) RUN(median_field(field, shape[0], shape[1], median));
    return finish(&arrays, median != NULL, 0);
}

/* The first six arguments of what searches: planes, current, previous, sizes, bit_cost, memo. */
static int take_search(Arrays *arrays, PyObject *const *args, Search *search) {
    Py_ssize_t plane[2] = {ANY, ANY}, planes[3] = {16, ANY, ANY}, count[1] = {ANY};
    search->current = take(arrays, args[1], "current", "uint8", 0, 2, plane);
    if (search->current == NULL) return 0;
    search->planes = take(arrays, args[0], "planes", "uint8", 0, 3, planes);
    if (search->planes == NULL) return 0;
    search->margin = (planes[1] - plane[0]) / 2;
    if (plane[0] % 8 || plane[1] % 8 || search->margin < 16 || planes[1] != plane[0] + 2 * search->margin ||
        planes[2] != plane[1] + 2 * search->margin) {
        PyErr_SetString(PyExc_ValueError, "planes: legal are those of a picture in whole 8x8 blocks, margin 16 or more");
        return 0;
    }
    search->rows = plane[0] / 8;
    search->columns = plane[1] / 8;
    Py_ssize_t field[3] = {search->rows, search->columns, 2};
    Py_ssize_t memo[3] = {search->rows * search->columns, MEMO_WAYS, 2};
    if ((search->previous = take(arrays, args[2], "previous", "int16", 0, 3, field)) == NULL) return 0;
    if ((search->sizes = take(arrays, args[3], "sizes", "float32", 0, 1, count)) == NULL) return 0;
    search->size_count = count[0];
    search->bit_cost = (float)PyFloat_AsDouble(args[4]);
    if (PyErr_Occurred()) return 0;
    return (search->memo = take(arrays, args[5], "memo", "uint32", 1, 3, memo)) != NULL;
}

KERNEL(py_improve) {
    Arrays arrays = {.count = 0};
    Search search;
    int16_t *best = NULL;
    float *cost = NULL;
    int failed = 0;
    if (!has_arguments(given, 11)) return NULL;
    const long right = whole(args[7], "right", -64, 64), down = whole(args[8], "down", -64, 64);
    if (!PyErr_Occurred() && take_search(&arrays, args, &search)) {
        Py_ssize_t field[3] = {search.rows, search.columns, 2};
        const int16_t *candidate = take(&arrays, args[6], "candidate", "int16", 0, 3, field);
        if (candidate != NULL) best = take(&arrays, args[9], "best", "int16", 1, 3, field);
        if (best != NULL) cost = take(&arrays, args[10], "cost", "float32", 1, 2, field);
        if (cost != NULL) RUN(failed = improve(&search, candidate, (int)right, (int)down, best, cost));
    }
    return finish(&arrays, cost != NULL, failed);
}

KERNEL(py_settle_round) {
    Arrays arrays = {.count = 0};
    Search search;
    int16_t *result = NULL;
    if (!has_arguments(given, 12)) return NULL;
    const long reach = whole(args[10], "reach", 1, 1024);
    if (reach > 0 && take_search(&arrays, args, &search)) {
        Py_ssize_t field[3] = {search.rows, search.columns, 2}, classes_shape[2] = {search.rows / 2, search.columns / 2};
        Py_ssize_t predicted_shape[3] = {2, search.rows / 2, search.columns / 2}, lengths_shape[3] = {2, 4, ANY};
        if (search.rows % 2 || search.columns % 2) PyErr_SetString(PyExc_ValueError, "current: whole 16x16 areas are legal");
        const int16_t *best = PyErr_Occurred() ? NULL : take(&arrays, args[6], "best", "int16", 0, 3, field);
        const int32_t *predicted =
            best == NULL ? NULL : take(&arrays, args[7], "predicted", "int32", 0, 3, predicted_shape);
        const uint8_t *classes =
            predicted == NULL ? NULL : take(&arrays, args[8], "classes", "uint8", 0, 2, classes_shape);
        const float *lengths = classes == NULL ? NULL : take(&arrays, args[9], "lengths", "float32", 0, 3, lengths_shape);
        if (lengths != NULL) result = take(&arrays, args[11], "result", "int16", 1, 3, field);
        if (result != NULL)
            RUN(settle_round(&search, best, predicted, classes, lengths, lengths_shape[2], reach, result));
    }
    return finish(&arrays, result != NULL, 0);
}

KERNEL(py_motion_statistics) {
    Arrays arrays = {.count = 0};
    Py_ssize_t field[3] = {ANY, ANY, 2}, table[2] = {3, 4};
    int64_t *totals = NULL;
    int failed = 0;
    if (!has_arguments(given, 5)) return NULL;
    const int16_t *vectors = take(&arrays, args[0], "vectors", "int16", 0, 3, field);
    if (vectors != NULL && (field[0] % 2 || field[1] % 2))
        PyErr_SetString(PyExc_ValueError, "vectors: sizes must be even");
    else if (vectors != NULL) {
        Py_ssize_t maps[3] = {2, field[0] / 2, field[1] / 2};
        const int32_t *past = take(&arrays, args[1], "past", "int32", 0, 3, maps);
        int32_t *predicted = past == NULL ? NULL : take(&arrays, args[2], "predicted", "int32", 1, 3, maps);
        uint8_t *classes = predicted == NULL ? NULL : take(&arrays, args[3], "classes", "uint8", 1, 2, maps + 1);
        if (classes != NULL) totals = take(&arrays, args[4], "totals", "int64", 1, 2, table);
        if (totals != NULL)
            RUN(failed = motion_statistics(vectors, past, maps[1], maps[2], predicted, classes, totals));
    }
    return finish(&arrays, totals != NULL, failed);
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

#define METHOD(name) {#name, (PyCFunction)(void (*)(void))py_##name, METH_FASTCALL, NULL}
static PyMethodDef methods[] = {
    METHOD(phase_planes),     METHOD(coarse_search),       METHOD(median_field),     METHOD(improve),
    METHOD(settle_round),     METHOD(motion_statistics),   METHOD(pyramid_residual), METHOD(pyramid_reconstruct),
    METHOD(compensate_plane), METHOD(forward_transform),   METHOD(inverse_transform), {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {{0, NULL}};
static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT, .m_name = "_kernels", .m_doc = "See kernels.h.", .m_methods = methods, .m_slots = slots};

PyMODINIT_FUNC PyInit__kernels(void) { return PyModuleDef_Init(&definition); }
