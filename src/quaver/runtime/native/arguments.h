/* Arrays handed over from Python: their types, shapes and layout are checked here, before any kernel sees them. */
#ifndef QUAVER_ARGUMENTS_H
#define QUAVER_ARGUMENTS_H

#define PY_SSIZE_T_CLEAN
#ifndef Py_LIMITED_API
#define Py_LIMITED_API 0x030b0000 /* 3.11, the first with the buffer protocol */
#endif
#include <Python.h>

#include <stdint.h>
#include <string.h>

enum { ANY = -1, MAX_ARRAYS = 10, MAX_DIMENSIONS = 4 };

/* The arrays of one call; `release` them at its end, whatever happened. */
typedef struct {
    Py_buffer views[MAX_ARRAYS];
    int count;
} Arrays;

static inline void release(Arrays *arrays) {
    while (arrays->count > 0) PyBuffer_Release(&arrays->views[--arrays->count]);
}

/* Items as NumPy names them: the buffer format and size of one. C's int and long may be the same type. */
static inline int is_item(const Py_buffer *view, const char *type) {
    const char *format = view->format != NULL ? view->format : "B";
    if (strcmp(type, "uint8") == 0) return strcmp(format, "B") == 0;
    if (strcmp(type, "int16") == 0) return strcmp(format, "h") == 0;
    if (strcmp(type, "int32") == 0) return view->itemsize == 4 && (!strcmp(format, "i") || !strcmp(format, "l"));
    if (strcmp(type, "uint32") == 0) return view->itemsize == 4 && (!strcmp(format, "I") || !strcmp(format, "L"));
    if (strcmp(type, "int64") == 0) return view->itemsize == 8 && (!strcmp(format, "l") || !strcmp(format, "q"));
    if (strcmp(type, "float32") == 0) return strcmp(format, "f") == 0;
    if (strcmp(type, "float64") == 0) return strcmp(format, "d") == 0;
    return 0;
}

/* The array's memory, or NULL with an exception. `shape` ends a dimension with ANY where any size will do; it is
   filled with the sizes found. `written`: the kernel writes here. */
static inline void *take(Arrays *arrays, PyObject *object, const char *name, const char *type, int written,
                         int dimensions, Py_ssize_t *shape) {
    Py_buffer *view = &arrays->views[arrays->count];
    const int flags = PyBUF_FORMAT | PyBUF_C_CONTIGUOUS | (written ? PyBUF_WRITABLE : 0);
    if (arrays->count == MAX_ARRAYS) {
        PyErr_SetString(PyExc_SystemError, "too many arrays");
        return NULL;
    }
    if (PyObject_GetBuffer(object, view, flags) < 0) return NULL;
    arrays->count++;
    if (!is_item(view, type)) {
        PyErr_Format(PyExc_TypeError, "%s: items of format '%s'; %s is legal", name, view->format, type);
        return NULL;
    }
    if (view->ndim != dimensions) {
        PyErr_Format(PyExc_ValueError, "%s: %d dimensions; %d are legal", name, view->ndim, dimensions);
        return NULL;
    }
    for (int n = 0; n < dimensions; n++) {
        if (shape[n] != ANY && shape[n] != view->shape[n]) {
            PyErr_Format(PyExc_ValueError, "%s: dimension %d is %zd; %zd is legal", name, n, view->shape[n], shape[n]);
            return NULL;
        }
        /* No product of sizes, times the margins and items of any kernel, leaves a ptrdiff_t. */
        if (view->shape[n] < 1 || view->shape[n] > 1 << 20) {
            PyErr_Format(PyExc_ValueError, "%s: dimension %d is %zd; 1 to 2**20 are legal", name, n, view->shape[n]);
            return NULL;
        }
        shape[n] = view->shape[n];
    }
    return view->buf;
}

/* An integer argument, or -1 with an exception. */
static inline long whole(PyObject *object, const char *name, long low, long high) {
    const long value = PyLong_AsLong(object);
    if (value == -1 && PyErr_Occurred()) return -1;
    if (value < low || value > high) {
        PyErr_Format(PyExc_ValueError, "%s is %ld; %ld to %ld are legal", name, value, low, high);
        return -1;
    }
    return value;
}

static inline int has_arguments(Py_ssize_t given, Py_ssize_t expected) {
    if (given == expected) return 1;
    PyErr_Format(PyExc_TypeError, "%zd arguments; %zd are legal", given, expected);
    return 0;
}

/* Whether the absolute values of each row of `length` items sum to at most `limit`. */
static inline int rows_within(const int16_t *taps, Py_ssize_t count, Py_ssize_t length, long limit) {
    for (Py_ssize_t row = 0; row < count; row++) {
        long total = 0;
        for (Py_ssize_t n = 0; n < length; n++) total += taps[row * length + n] < 0 ? -taps[row * length + n] : taps[row * length + n];
        if (total > limit) {
            PyErr_Format(PyExc_ValueError, "taps: row %zd sums to %ld in magnitude; up to %ld are legal", row, total, limit);
            return 0;
        }
    }
    return 1;
}

/* A function of the module; module_motion.c has some. */
#define KERNEL(name) PyObject *name(PyObject *Py_UNUSED(module), PyObject *const *args, Py_ssize_t given)
#define RUN(work)                           \
    do {                                    \
        Py_BEGIN_ALLOW_THREADS work;        \
        Py_END_ALLOW_THREADS                \
    } while (0)

/* Ends a call: None, or the exception that is set, or, after `failed`, want of memory. */
static inline PyObject *finish(Arrays *arrays, int done, int failed) {
    release(arrays);
    if (!done) return NULL;
    if (failed) return PyErr_NoMemory();
    Py_INCREF(Py_None);
    return Py_None;
}

KERNEL(py_coarse_search);
KERNEL(py_median_field);
KERNEL(py_improve);
KERNEL(py_settle_round);
KERNEL(py_motion_statistics);

#endif
