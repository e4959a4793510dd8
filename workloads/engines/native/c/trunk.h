/* The frozen part of a network: a program of nodes over maps, run for a few images at a time.
 *
 * Which node reads which map, where maps lie in the arena and when their room is used again is data (trunk.py): no
 * model's name is known here. A trunk has no state but its arena, so sessions may share it one after another.
 */
#ifndef TB_TRUNK_H
#define TB_TRUNK_H

#include <stdlib.h>

#include "conv.h"
#include "pool.h"

/* as trunk.py numbers them */
enum { TB_OP_CONV, TB_OP_DEPTHWISE, TB_OP_ADD, TB_OP_PUT, TB_OP_MAX, TB_OP_MEAN, TB_OP_NORMALISE, TB_OP_BORDER };

typedef struct {
    int kind, left, right, out; /* maps */
    tb_window window;           /* of a mean: kh is its grid's side; of a border: kh above and kw to the left */
    int act;
    int first;                  /* channel of a put */
    float *w, *bias;            /* of a normalise: scale and shift */
} tb_op;

typedef struct tb_trunk {
    int n_ops, n_maps, n_outputs, chunk;
    tb_op *ops;
    tb_map *maps;               /* the first one is the image */
    int *outputs;               /* maps of 1 x 1 */
    float *arena, *columns;
    void *blocks;               /* everything of the weights */
} tb_trunk;

enum { TB_OP_INTS = 12, TB_MAP_INTS = 4, TB_MAX_CHUNK = 64 };

static size_t weight_floats(const tb_trunk *t, const tb_op *op) {
    const tb_map *in = &t->maps[op->left], *out = &t->maps[op->out];
    size_t taps = (size_t)op->window.kh * op->window.kw;
    if (op->kind == TB_OP_CONV) return taps * in->c * out->cp;
    return op->kind == TB_OP_DEPTHWISE ? taps * out->cp : op->kind == TB_OP_NORMALISE ? (size_t)out->cp : 0;
}

static size_t lined(size_t floats) { return (floats + 15) / 16 * 16; }

static void tb_trunk_release(tb_trunk *t) {
    if (!t) return;
    free(t->ops), free(t->maps), free(t->outputs), free(t->arena), free(t->columns), free(t->blocks);
    free(t);
}

/* Room for the weights of all nodes in one block, and for the inputs of the largest gathered one. */
static int place_weights(tb_trunk *t) {
    size_t total = 0, columns = 16;
    for (int i = 0; i < t->n_ops; i++) {
        tb_op *op = &t->ops[i];
        size_t count = weight_floats(t, op);
        if (count) total += lined(count) + lined((size_t)t->maps[op->out].cp);
        if (op->kind == TB_OP_CONV && !is_pointwise(&op->window)) {
            int width = op->window.kh * op->window.kw * t->maps[op->left].c;
            size_t room = (size_t)width * block_of(width);
            if (room > columns) columns = room;
        }
    }
    t->blocks = aligned_alloc(TB_ALIGN_B, sizeof(float) * lined(total + 16));
    t->columns = aligned_alloc(TB_ALIGN_B, sizeof(float) * lined(columns));
    if (!t->blocks || !t->columns) return -1;
    float *at = t->blocks;
    for (int i = 0; i < t->n_ops; i++) {
        tb_op *op = &t->ops[i];
        size_t count = weight_floats(t, op);
        if (!count) continue;
        op->w = at, at += lined(count);
        op->bias = at, at += lined((size_t)t->maps[op->out].cp);
    }
    return 0;
}

/* ops: n_ops rows of TB_OP_INTS (kind, left, right, out, kh, kw, stride, pad, dilation, act, first, 0); maps: n_maps rows
 * (h, w, c, at); outputs: numbers of maps. chunk: images at a time, at most TB_MAX_CHUNK; arena: floats of one image's maps.
 * NULL: out of memory. */
static tb_trunk *trunk_of(const int32_t *ops, int n_ops, const int32_t *maps, int n_maps, const int32_t *outputs,
                          int n_outputs, int chunk, int64_t arena) {
    tb_trunk *t = calloc(1, sizeof *t);
    if (!t) return NULL;
    t->n_ops = n_ops, t->n_maps = n_maps, t->n_outputs = n_outputs, t->chunk = chunk;
    t->ops = calloc((size_t)n_ops + 1, sizeof *t->ops);
    t->maps = calloc((size_t)n_maps + 1, sizeof *t->maps);
    t->outputs = calloc((size_t)n_outputs + 1, sizeof *t->outputs);
    t->arena = aligned_alloc(TB_ALIGN_B, sizeof(float) * lined((size_t)arena * chunk + 16));
    if (!t->ops || !t->maps || !t->outputs || !t->arena) {
        tb_trunk_release(t);
        return NULL;
    }
    for (int i = 0; i < n_maps; i++, maps += TB_MAP_INTS) {
        int padded_c = (maps[2] + VL - 1) / VL * VL;
        t->maps[i] = (tb_map){maps[0], maps[1], maps[2], padded_c, (long)maps[3]};
    }
    for (int i = 0; i < n_ops; i++, ops += TB_OP_INTS) {
        tb_window window = {ops[4], ops[5], ops[6], ops[7], ops[8]};
        t->ops[i] = (tb_op){ops[0], ops[1], ops[2], ops[3], window, ops[9], ops[10], NULL, NULL};
    }
    for (int i = 0; i < n_outputs; i++) t->outputs[i] = outputs[i];
    if (place_weights(t)) {
        tb_trunk_release(t);
        return NULL;
    }
    return t;
}

/* Weights as torch keeps them; slope and shift of what follows: y = slope * (w x) + shift. Of a normalise only these. */
static void set_node(tb_trunk *t, int index, const float *w, const float *slope, const float *shift) {
    tb_op *op = &t->ops[index];
    const tb_map *in = &t->maps[op->left], *out = &t->maps[op->out];
    int taps = op->window.kh * op->window.kw;
    if (op->kind == TB_OP_CONV) pack_conv(op->w, w, slope, out->c, in->c, taps);
    if (op->kind == TB_OP_DEPTHWISE) pack_depthwise(op->w, w, slope, out->c, out->cp, taps);
    for (int c = 0; c < out->cp; c++) {
        if (op->kind == TB_OP_NORMALISE) op->w[c] = c < out->c ? slope[c] : 0.0f;
        op->bias[c] = c < out->c ? shift[c] : 0.0f;
    }
}

static float *values_of(const tb_trunk *t, int map) { return t->arena + t->maps[map].at * t->chunk; }

static void run_node(tb_trunk *t, const tb_op *op, int m) {
    const tb_map *in = &t->maps[op->left], *out = &t->maps[op->out];
    const float *x = values_of(t, op->left);
    float *y = values_of(t, op->out);
    const tb_window *k = &op->window;
    switch (op->kind) {
        case TB_OP_CONV: conv(in, out, k, op->w, op->bias, op->act, m, x, y, t->columns); break;
        case TB_OP_DEPTHWISE: depthwise(in, out, k, op->w, op->bias, op->act, m, x, y); break;
        case TB_OP_ADD: add_maps(out, op->act, m, x, values_of(t, op->right), y); break;
        case TB_OP_PUT: put_channels(in, out, op->first, m, x, y); break;
        case TB_OP_MAX: max_pool(in, out, k, m, x, y); break;
        case TB_OP_MEAN: mean_pool(in, out, k->kh, m, x, y); break;
        case TB_OP_NORMALISE: normalise(in, out, op->w, op->bias, m, x, y); break;
        default: border(in, out, k->kh, k->kw, m, x, y); break;
    }
}

/* Runs m images, at most chunk. */
static void run_trunk(tb_trunk *t, const uint8_t *const *images, int m) {
    const tb_map *in = &t->maps[0];
    for (int i = 0; i < m; i++) from_pixels(in, images[i], values_of(t, 0) + (long)i * in->h * in->w * in->cp);
    for (int i = 0; i < t->n_ops; i++) run_node(t, &t->ops[i], m);
}

/* The values of an output for image i of the chunk. */
static const float *output_of(const tb_trunk *t, int output, int i) {
    const tb_map *map = &t->maps[t->outputs[output]];
    return values_of(t, t->outputs[output]) + (long)i * map->h * map->w * map->cp;
}

#endif
