/* Runs a fine-tuning written by test_native_cross.py through a library, and prints the losses of its steps:
 * driver LIBRARY CASE. */
#include <dlfcn.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

static void *next(FILE *file) {
    int64_t size_b;
    if (fread(&size_b, sizeof size_b, 1, file) != 1) exit(2);
    void *block = calloc(1, (size_t)size_b + 64);
    if (!block || fread(block, 1, (size_t)size_b, file) != (size_t)size_b) exit(2);
    return block;
}

static void *find(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) exit(3);
    return found;
}

int main(int count, char **arguments) {
    void *library = count == 3 ? dlopen(arguments[1], RTLD_NOW) : NULL;
    FILE *file = library ? fopen(arguments[2], "rb") : NULL;
    if (!file) {
        fprintf(stderr, "%s\n", count == 3 ? dlerror() : "driver LIBRARY CASE");
        return 1;
    }
    void *(*make)(const void *, int, const void *, int, const void *, const void *, const void *) =
        find(library, "tb_new");
    void (*set_data)(void *, const void *, const void *) = find(library, "tb_set_data");
    void (*set_layer)(void *, int, const void *, const void *, const void *, const void *) =
        find(library, "tb_set_layer");
    void (*set_adapter)(void *, int, const void *, const void *) = find(library, "tb_set_adapter");
    int (*train)(void *, const void *, int, const void *, float *, double *, void *, void *) = find(library, "tb_train");

    int32_t *counts = next(file); /* layers, adapters, epochs, steps */
    void *numbers = next(file);
    void *layers = next(file), *adapters = next(file), *keep = next(file), *sizes = next(file);
    void *session = make(layers, counts[0], adapters, counts[1], keep, sizes, numbers);
    if (!session) return 4;
    void *x = next(file);
    set_data(session, x, next(file));
    for (int i = 0; i < counts[0]; i++) {
        void *weight = next(file), *bias = next(file), *slope = next(file);
        set_layer(session, i, weight, bias, slope, next(file));
    }
    for (int i = 0; i < counts[1]; i++) {
        void *first = next(file);
        set_adapter(session, i, first, next(file));
    }
    float *losses = calloc((size_t)counts[3], sizeof *losses);
    double *means = calloc((size_t)counts[2], sizeof *means);
    void *order = next(file);
    train(session, order, counts[2], next(file), losses, means, NULL, NULL);
    for (int i = 0; i < counts[3]; i++) printf("%.9g\n", losses[i]);
    return 0;
}
