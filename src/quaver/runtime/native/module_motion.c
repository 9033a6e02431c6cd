/* The motion search's part of module.c. */
#include "arguments.h"
#include "kernels.h"

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
