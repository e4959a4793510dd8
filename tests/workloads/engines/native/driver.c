/* Runs a fine-tuning written by test_cross.py through a library, and prints the losses of its steps:
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

/* A network's trunk and its images; see write_trunk. */
static void feed(void *library, FILE *file, void *session) {
    void *(*make)(const void *, int, const void *, int, const void *, int, int, int64_t) = find(library, "tb_trunk_new");
    void (*set)(void *, int, const void *, const void *, const void *) = find(library, "tb_trunk_set");
    void (*give)(void *, void *, const void *, int) = find(library, "tb_feed");
    int32_t *sizes = next(file); /* operations, maps, outputs, chunk, arena, nodes with weights, bytes of an image */
    void *ops = next(file), *maps = next(file);
    void *trunk = make(ops, sizes[0], maps, sizes[1], next(file), sizes[2], sizes[3], sizes[4]);
    if (!trunk) exit(5);
    int32_t *numbers = next(file);
    for (int i = 0; i < sizes[5]; i++) {
        void *weight = next(file), *slope = next(file);
        set(trunk, numbers[i], weight, slope, next(file));
    }
    give(session, trunk, next(file), sizes[6]);
}

/* A network whose layers carry adapters, and its images; see write_adapted_case. */
static void give_net(void *library, FILE *file, void *session) {
    int (*make)(void *, const void *, int, const void *, int, const void *, const void *, int) =
        find(library, "tb_net_new");
    void (*set)(void *, int, const void *, const void *, const void *) = find(library, "tb_net_set");
    int32_t *sizes = next(file); /* nodes, grids, layers, bytes of an image */
    void *nodes = next(file), *grids = next(file), *others = next(file), *images = next(file);
    if (make(session, nodes, sizes[0], grids, sizes[1], others, images, sizes[3])) exit(5);
    int32_t *numbers = next(file);
    for (int i = 0; i < sizes[2]; i++) {
        void *weight = next(file), *slope = next(file);
        set(session, numbers[i], weight, slope, next(file));
    }
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

    /* layers, adapters, epochs, steps, layers that are set, whether a trunk follows (1) or a network (2), adapters of all */
    int32_t *counts = next(file);
    void *numbers = next(file);
    void *layers = next(file), *adapters = next(file), *keep = next(file), *sizes = next(file);
    void *session = make(layers, counts[0], adapters, counts[1], keep, sizes, numbers);
    if (!session) return 4;
    void *x = next(file);
    set_data(session, x, next(file));
    for (int i = counts[0] - counts[4]; i < counts[0]; i++) {
        void *weight = next(file), *bias = next(file), *slope = next(file);
        set_layer(session, i, weight, bias, slope, next(file));
    }
    if (counts[5] == 2) give_net(library, file, session);
    for (int i = 0; i < counts[6]; i++) {
        void *first = next(file);
        set_adapter(session, i, first, next(file));
    }
    if (counts[5] == 1) feed(library, file, session);
    float *losses = calloc((size_t)counts[3], sizeof *losses);
    double *means = calloc((size_t)counts[2], sizeof *means);
    void *order = next(file);
    train(session, order, counts[2], next(file), losses, means, NULL, NULL);
    for (int i = 0; i < counts[3]; i++) printf("%.9g\n", losses[i]);
    return 0;
}
