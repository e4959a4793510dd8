/* The native engine: fine-tuning of an MLP with frozen BatchNorm on softmax cross-entropy, float32; or of what stands
 * behind the frozen trunk of a network (trunk.h).
 *
 * Which weights and biases train, where adapters start and end and what is cached comes as data (a plan of
 * workloads/methods.py); no method's name is known here. One session holds everything; whole epochs run in
 * one call. C11, no library but malloc and clock_gettime.
 */
#define _POSIX_C_SOURCE 200809L

#include <stdlib.h>
#include <time.h>

#include "model.h"
#include "rules.h"
#include "simd.h"
#include "tiles.h"
#include "trunk.h"

#define TB_API __attribute__((visibility("default")))

/* memory ------------------------------------------------------------------------------------------------- */

static int padded(int n) { return (n + VL - 1) / VL * VL; }

/* Zeroed and aligned memory that lives as long as the session; it is touched here, not while training. */
static void *take(tb_session *s, size_t count, size_t size) {
    size_t size_b = (count * size + TB_ALIGN_B - 1) / TB_ALIGN_B * TB_ALIGN_B + TB_ALIGN_B;
    if (s->n_blocks == s->room) {
        size_t room = s->room ? 2 * s->room : 64;
        void **more = realloc(s->blocks, room * sizeof *more);
        if (!more) {
            s->failed = 1;
            return NULL;
        }
        s->blocks = more;
        s->room = room;
    }
    void *block = aligned_alloc(TB_ALIGN_B, size_b);
    if (!block) {
        s->failed = 1;
        return NULL;
    }
    memset(block, 0, size_b);
    s->blocks[s->n_blocks++] = block;
    return block;
}

static float *take_floats(tb_session *s, size_t count) { return take(s, count, sizeof(float)); }

/* Floats from weights to their state: 320 bytes more than a multiple of 1024, so that neither a state nor another row of
 * it shares the last bits of its address with weights nearby. They tell a processor which loads wait for which stores. */
static long apart_of(size_t count) { return (long)((count + 255) / 256 * 256 + 80); }

/* Weights; those that train with room behind them. */
static float *take_weights(tb_session *s, size_t count, int trains, int second) {
    const tb_training *t = &s->training;
    int behind = trains ? t->n_states + t->keeps : 0;
    long apart = apart_of(count);
    float *at = take_floats(s, behind ? (size_t)((behind + 1) * apart) : count);
    if (at && trains) s->trained[s->n_trained++] = (tb_trained){at, (long)count, apart, second};
    return at;
}

static float **rows_of(tb_session *s, float *at, int count, int width) {
    float **rows = take(s, (size_t)count + 4, sizeof *rows);
    if (!rows || !at) return rows;
    for (int i = 0; i < count; i++) rows[i] = at + (size_t)i * width;
    return rows;
}

static float *take_wide(tb_session *s, float *narrow, size_t count) {
    return TB_UNIT == 1 ? narrow : take_floats(s, count * TB_UNIT);
}

/* given: what it would compute comes from a trunk, so it has no weights. */
static void make_layer(tb_session *s, tb_layer *l, const int32_t *row, int given) {
    l->n_in = row[0], l->n_out = row[1], l->norm = row[2], l->train_w = row[3], l->train_b = row[4];
    l->k = padded(l->n_in), l->o = padded(l->n_out);
    if (!given) {
        l->w = take_weights(s, (size_t)l->o * l->k, l->train_w, 0);
        l->w_rows = rows_of(s, l->w, l->o, l->k);
    }
    l->bias = take_weights(s, (size_t)l->o, l->train_b, 0);
    l->slope = take_floats(s, l->o);
    l->shift0 = take_floats(s, l->o);
    l->shift = take_floats(s, l->o);
    size_t size = (size_t)s->batch * l->o;
    l->y = take_floats(s, size), l->y_rows = rows_of(s, l->y, s->batch, l->o);
    l->gy = take_floats(s, size), l->gy_rows = rows_of(s, l->gy, s->batch, l->o);
    l->gy_wide = take_wide(s, l->gy, size);
}

static void make_paths(tb_session *s, tb_layer *l) {
    size_t size = (size_t)s->batch * l->rank;
    l->b = take_weights(s, (size_t)l->rank * l->o, l->rank > 0, 1), l->b_rows = rows_of(s, l->b, l->rank, l->o);
    l->u = take_floats(s, size), l->u_rows = rows_of(s, l->u, s->batch, l->rank);
    l->mid = take_floats(s, size), l->mid_rows = rows_of(s, l->mid, s->batch, l->rank);
    l->u_wide = take_wide(s, l->u, size);
    l->mid_wide = take_wide(s, l->mid, size);
}

static void make_adapter(tb_session *s, tb_adapter *a, const int32_t *row) {
    a->start = row[0], a->end = row[1], a->rank = row[2];
    tb_layer *end = &s->layers[a->end];
    int width = s->layers[a->start].k, rank = (a->rank + 3) / 4 * 4;
    a->at = end->rank;
    end->rank += rank;
    a->a = take_weights(s, (size_t)rank * width, !s->still, 0);
    a->rows = rows_of(s, a->a, rank, width);
}

static void find_lowest(tb_session *s) {
    s->lowest = s->n_layers;
    for (int l = s->n_layers - 1; l >= 0; l--) {
        if (s->layers[l].train_w || s->layers[l].train_b || s->layers[l].rank) s->lowest = l;
    }
}

static void make_cache(tb_session *s, const int32_t *keep) {
    s->planes = take(s, (size_t)s->n_layers + 1, sizeof *s->planes);
    s->slot = take(s, (size_t)s->n_rows, sizeof *s->slot);
    if (s->failed) return;
    for (int i = 0; i < s->n_rows; i++) s->slot[i] = -1;
    for (int l = 0; l <= s->n_layers; l++) {
        tb_plane *p = &s->planes[l];
        if (!keep[l] || !(s->caching || s->fed)) continue;
        p->used = 1;
        p->n = l < s->n_layers ? s->layers[l].n_in : s->layers[l - 1].n_out;
        if (!s->caching) continue;
        p->direct = !s->half && p->n % VL == 0 && l < s->n_layers;
        p->data = take(s, (size_t)s->slots * p->n, s->half ? sizeof(uint16_t) : sizeof(float));
    }
}

static void make_batch(tb_session *s) {
    int classes = s->layers[s->n_layers - 1].n_out, width = s->layers[0].k;
    s->staged = take_floats(s, (size_t)s->batch * width);
    s->rows = take(s, (size_t)s->n_layers + 1, sizeof *s->rows);
    s->sub = take(s, (size_t)s->n_layers + 1, sizeof *s->sub);
    s->missing = take(s, (size_t)s->batch, sizeof *s->missing);
    s->image = take(s, (size_t)s->batch, sizeof *s->image);
    s->missing_image = take(s, (size_t)s->batch, sizeof *s->missing_image);
    s->batch_slot = take(s, (size_t)s->batch, sizeof *s->batch_slot);
    s->batch_label = take(s, (size_t)s->batch + 3, sizeof *s->batch_label);
    s->columns = take_floats(s, (size_t)(classes + 3) * 4);
    for (int l = 0; l <= s->n_layers && !s->failed; l++) {
        float *from = l == 0 ? s->staged : s->layers[l - 1].y;
        s->rows[l] = rows_of(s, from, s->batch, l == 0 ? width : s->layers[l - 1].o);
        s->sub[l] = rows_of(s, NULL, s->batch, 0);
    }
}

TB_API void tb_free(tb_session *s) {
    if (!s) return;
    for (size_t i = 0; i < s->n_blocks; i++) free(s->blocks[i]);
    free(s->blocks);
    free(s);
}

static void set_training(tb_training *t, int optimizer, const double *numbers) {
    t->clip = numbers[1], t->decay = numbers[2], t->second_rate = numbers[3], t->momentum = numbers[4];
    t->beta1 = numbers[5], t->beta2 = numbers[6], t->epsilon = numbers[7];
    t->rule = optimizer == 0 ? TB_STEP : optimizer == 1 ? TB_MOMENTUM : t->decay > 0.0 ? TB_DECAY : TB_ADAMW;
    t->keeps = t->clip > 0.0 || (t->decay > 0.0 && t->rule != TB_DECAY);
    t->n_states = optimizer;
    t->power1 = t->power2 = 1.0;
}

/* layers: n_layers rows (n_in, n_out, norm, train_w, train_b); adapters: rows (start, end, rank);
 * keep: n_layers + 1 flags, see planes; sizes: n_rows, batch, caching, half, slots, optimizer (0 SGD, 1 momentum,
 * 2 AdamW), fed (what keep names comes from a trunk, see tb_feed, or from a network, see tb_net_new), whether the
 * adapters' first factors stay as they are, adapters of a network, their rank;
 * numbers: scale, clip (0: none), decay, lora_plus, momentum, beta1, beta2, epsilon. NULL: out of memory. */
TB_API tb_session *tb_new(const int32_t *layers, int n_layers, const int32_t *adapters, int n_adapters,
                          const int32_t *keep, const int32_t *sizes, const double *numbers) {
    tb_session *s = calloc(1, sizeof *s);
    if (!s) return NULL;
    s->n_layers = n_layers, s->n_adapters = n_adapters, s->scale = (float)numbers[0];
    s->n_rows = sizes[0], s->batch = sizes[1], s->caching = sizes[2], s->half = sizes[3], s->slots = sizes[4];
    s->fed = sizes[6];
    set_training(&s->training, sizes[5], numbers);
    s->still = sizes[7];
    s->rank = sizes[9];
    s->trained = take(s, (size_t)(3 * n_layers + n_adapters + 2 * sizes[8] + 1), sizeof *s->trained);
    s->layers = take(s, (size_t)n_layers, sizeof *s->layers);
    s->adapters = take(s, (size_t)n_adapters + 1, sizeof *s->adapters);
    for (int l = 0; l < n_layers && !s->failed; l++) {
        make_layer(s, &s->layers[l], layers + 5 * l, s->fed && (l < n_layers - 1 || keep[n_layers]));
    }
    for (int a = 0; a < n_adapters && !s->failed; a++) make_adapter(s, &s->adapters[a], adapters + 3 * a);
    for (int l = 0; l < n_layers && !s->failed; l++) make_paths(s, &s->layers[l]);
    if (!s->failed) {
        s->x = take_floats(s, (size_t)s->n_rows * s->layers[0].k);
        s->label = take(s, (size_t)s->n_rows, sizeof *s->label);
        find_lowest(s);
        make_cache(s, keep);
        make_batch(s);
    }
    if (s->failed) {
        tb_free(s);
        return NULL;
    }
    return s;
}

#include "net_make.h"

/* values in and out --------------------------------------------------------------------------------------- */

static void copy_in(float *to, int width, const float *from, int rows, int n) {
    for (int i = 0; i < rows; i++) memcpy(to + (size_t)i * width, from + (size_t)i * n, sizeof(float) * n);
}

static void fold(tb_layer *l) {
    for (int o = 0; o < l->n_out; o++) l->shift[o] = l->slope[o] * l->bias[o] + l->shift0[o];
}

/* slope and shift0: of the frozen BatchNorm, 1 and 0 where there is none. */
TB_API void tb_set_layer(tb_session *s, int index, const float *w, const float *bias, const float *slope,
                         const float *shift0) {
    tb_layer *l = &s->layers[index];
    copy_in(l->w, l->k, w, l->n_out, l->n_in);
    memcpy(l->bias, bias, sizeof(float) * l->n_out);
    memcpy(l->slope, slope, sizeof(float) * l->n_out);
    memcpy(l->shift0, shift0, sizeof(float) * l->n_out);
    fold(l);
}

TB_API void tb_get_layer(tb_session *s, int index, float *w, float *bias) {
    tb_layer *l = &s->layers[index];
    for (int o = 0; o < l->n_out; o++) memcpy(w + (size_t)o * l->n_in, l->w_rows[o], sizeof(float) * l->n_in);
    memcpy(bias, l->bias, sizeof(float) * l->n_out);
}

/* first: rank x n_in of the start layer; second: n_out of the end layer x rank. */
TB_API void tb_set_adapter(tb_session *s, int index, const float *first, const float *second) {
    if (s->net) {
        copy_factors(s->net, index, s->rank, (float *)first, (float *)second, 1);
        return;
    }
    tb_adapter *a = &s->adapters[index];
    tb_layer *start = &s->layers[a->start], *end = &s->layers[a->end];
    copy_in(a->a, start->k, first, a->rank, start->n_in);
    for (int r = 0; r < a->rank; r++) {
        for (int o = 0; o < end->n_out; o++) end->b_rows[a->at + r][o] = second[o * a->rank + r];
    }
}

TB_API void tb_get_adapter(tb_session *s, int index, float *first, float *second) {
    if (s->net) {
        copy_factors(s->net, index, s->rank, first, second, 0);
        return;
    }
    tb_adapter *a = &s->adapters[index];
    tb_layer *start = &s->layers[a->start], *end = &s->layers[a->end];
    for (int r = 0; r < a->rank; r++) {
        memcpy(first + (size_t)r * start->n_in, a->rows[r], sizeof(float) * start->n_in);
        for (int o = 0; o < end->n_out; o++) second[o * a->rank + r] = end->b_rows[a->at + r][o];
    }
}

TB_API void tb_set_data(tb_session *s, const float *x, const int32_t *label) {
    copy_in(s->x, s->layers[0].k, x, s->n_rows, s->layers[0].n_in);
    memcpy(s->label, label, sizeof *label * s->n_rows);
}

/* An empty cache, an optimizer without a past and counts at zero: the next fine-tuning starts as the first one did. */
TB_API void tb_forget(tb_session *s) {
    for (int i = 0; i < s->n_trained && s->training.n_states; i++) {
        tb_trained *t = &s->trained[i];
        memset(t->at + t->apart, 0, sizeof(float) * (size_t)(s->training.n_states * t->apart));
    }
    s->training.power1 = s->training.power2 = 1.0;
    for (int i = 0; i < s->n_rows; i++) s->slot[i] = -1;
    s->used_slots = 0;
    s->lookups = s->hits = s->fill_ns = s->recompute_ns = 0;
}

/* float16, portable: rounds to nearest even; what is too large becomes infinite. */
static uint16_t to_half(float value) {
    uint32_t bits, sign, kept;
    memcpy(&bits, &value, 4);
    sign = bits >> 16 & 0x8000;
    bits &= 0x7fffffff;
    if (bits >= 0x47800000) return (uint16_t)(sign | (bits > 0x7f800000 ? 0x7e00 : 0x7c00));
    if (bits < 0x38800000) { /* subnormal: let the float's own addition round at the right place */
        float small;
        memcpy(&small, &bits, 4);
        small += 0.5f;
        memcpy(&kept, &small, 4);
        return (uint16_t)(sign | (kept - 0x3f000000));
    }
    kept = bits - 0x38000000;
    kept += 0xfff + (kept >> 13 & 1);
    return (uint16_t)(sign | kept >> 13);
}

static float from_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, rest = half & 0x7fff, bits;
    float value;
    if (rest >= 0x7c00) {
        bits = sign | 0x7f800000 | (rest & 0x3ff) << 13;
    } else if (rest >= 0x400) {
        bits = sign | ((rest << 13) + 0x38000000);
    } else { /* subnormal or zero: rest * 2^-24 */
        value = (float)rest * 5.9604644775390625e-8f;
        memcpy(&bits, &value, 4);
        bits |= sign;
    }
    memcpy(&value, &bits, 4);
    return value;
}

/* a batch ------------------------------------------------------------------------------------------------- */

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

static void event(tb_session *s, int phase) {
    if (!s->events) return;
    tb_event *e = &s->events[s->n_events++];
    e->t_ns = now_ns();
    e->phase = phase;
}

/* Writes count values as factors for tb_outer. */
static void spread(const float *from, float *to, int count) {
#if TB_UNIT != 1
    for (int i = 0; i < count; i += VL) {
        vf four = load(from + i);
        store(to, TB_SHUFFLE(four, four, 0, 0, 0, 0));
        store(to + VL, TB_SHUFFLE(four, four, 1, 1, 1, 1));
        store(to + 2 * VL, TB_SHUFFLE(four, four, 2, 2, 2, 2));
        store(to + 3 * VL, TB_SHUFFLE(four, four, 3, 3, 3, 3));
        to += 4 * VL;
    }
#else
    (void)from, (void)to, (void)count;
#endif
}

static void rescale(const tb_session *s, float *values, int count) {
    if (s->scale == 1.0f) return;
    for (int i = 0; i < count; i++) values[i] *= s->scale;
}

TB_INLINE const float *const *fixed(float *const *rows) { return (const float *const *)rows; }

/* Y = BatchNorm and ReLU of Y, or Y + bias behind the last layer. */
static void finish_layer(const tb_layer *l, int m, float *const *y) {
    for (int i = 0; i < m; i++) {
        float *row = y[i];
        if (l->norm) {
            for (int o = 0; o < l->o; o += VL) {
                store(row + o, relu(load(row + o) * load(l->slope + o) + load(l->shift + o)));
            }
        } else {
            for (int o = 0; o < l->o; o += VL) store(row + o, load(row + o) + load(l->shift + o));
        }
    }
}

static void base_layer(const tb_layer *l, int m, float *const *x, float *const *y) {
    tb_dot(m, l->o, l->k, l->w, l->k, fixed(x), y, 0);
}

/* Adapters' middle values of those that end at a layer: u = scale * A x. */
static void middle(tb_session *s, int end, int m) {
    tb_layer *l = &s->layers[end];
    for (int a = 0; a < s->n_adapters; a++) {
        tb_adapter *p = &s->adapters[a];
        if (p->end != end) continue;
        int width = s->layers[p->start].k;
        tb_dot(m, (p->rank + 3) / 4 * 4, width, p->a, width, fixed(s->rows[p->start]), l->u_rows, p->at);
    }
    rescale(s, l->u, m * l->rank);
    spread(l->u, l->u_wide, m * l->rank);
}

static void add_paths(tb_session *s, int end, int m, float *const *y) {
    tb_layer *l = &s->layers[end];
    if (!l->rank) return;
    middle(s, end, m);
    tb_term by = term_of(l->u_wide, l->rank, 1, l->b_rows, l->rank);
    outer_add(m, l->o, &by, y);
}

/* What a trunk gives for count images: the planes' values. */
static void feed(tb_session *s, int count, float ***rows, const uint8_t *const *images) {
    tb_trunk *t = s->trunk;
    for (int at = 0; at < count; at += t->chunk) {
        int m = count - at < t->chunk ? count - at : t->chunk, output = 0;
        run_trunk(t, images + at, m);
        for (int l = 1; l <= s->n_layers; l++) {
            if (!s->planes[l].used) continue;
            size_t size_b = sizeof(float) * (size_t)s->planes[l].n;
            for (int i = 0; i < m; i++) memcpy(rows[l][at + i], output_of(t, output, i), size_b);
            output++;
        }
    }
}

/* What a network gives: the logits. */
static void run_net(tb_session *s, int m) {
    const tb_grid *out = &s->net->grids[s->net->output];
    run_nodes(s->net, s->scale, m, s->image);
    for (int i = 0; i < m; i++) memcpy(s->rows[s->n_layers][i], inner(out, i, 0), sizeof(float) * (size_t)out->c);
}

/* Everything that is not cached, from the batch's inputs to its logits. */
static void forward(tb_session *s, int m) {
    int last = s->n_layers - 1, given = s->caching || s->fed;
    if (s->net) {
        run_net(s, m);
        return;
    }
    if (s->fed && !s->caching) feed(s, m, s->rows, s->image);
    for (int l = given ? last : 0; l <= last; l++) {
        tb_layer *layer = &s->layers[l];
        int known = given && l == last && s->planes[s->n_layers].used;
        if (!known) base_layer(layer, m, s->rows[l], s->rows[l + 1]);
        /* a last layer adds its bias before its adapters, as what is cached has it: bit for bit the same */
        if (!known && !layer->norm) finish_layer(layer, m, s->rows[l + 1]);
        add_paths(s, l, m, s->rows[l + 1]);
        if (layer->norm) finish_layer(layer, m, s->rows[l + 1]);
    }
}

/* the cache ----------------------------------------------------------------------------------------------- */

static void keep_row(const tb_session *s, const tb_plane *p, int slot, const float *from) {
    size_t at = (size_t)slot * p->n;
    if (s->half) {
        uint16_t *to = (uint16_t *)p->data + at;
        for (int i = 0; i < p->n; i++) to[i] = to_half(from[i]);
    } else {
        memcpy((float *)p->data + at, from, sizeof(float) * p->n);
    }
}

static void read_row(const tb_session *s, const tb_plane *p, int slot, float *to) {
    size_t at = (size_t)slot * p->n;
    if (s->half) {
        const uint16_t *from = (const uint16_t *)p->data + at;
        for (int i = 0; i < p->n; i++) to[i] = from_half(from[i]);
    } else {
        const float *from = (const float *)p->data + at;
        for (int i = 0; i < p->n; i++) to[i] = from[i]; /* often a few logits only: no call */
    }
}

/* The frozen part of the model for count samples: what the cache keeps, adapters left out. */
static void body(tb_session *s, int count, float ***rows, const uint8_t *const *images) {
    if (s->fed) {
        feed(s, count, rows, images);
        return;
    }
    int end = s->planes[s->n_layers].used ? s->n_layers : s->n_layers - 1;
    for (int l = 0; l < end; l++) {
        base_layer(&s->layers[l], count, rows[l], rows[l + 1]);
        finish_layer(&s->layers[l], count, rows[l + 1]);
    }
}

/* Where the batch's samples have their values of a plane: in the cache, or in the batch's own buffer. */
static void place(tb_session *s, const tb_plane *p, int l, int m) {
    float **to = s->rows[l], **own = s->layers[l - 1].y_rows;
    for (int i = 0; i < m; i++) {
        int slot = s->batch_slot[i];
        to[i] = slot >= 0 ? (float *)p->data + (size_t)slot * p->n : own[i];
    }
}

/* Cached values of the batch: read, or computed (and kept, while there is room). */
static void lookup(tb_session *s, const int32_t *order, int m) {
    int n_missing = 0;
    for (int i = 0; i < m; i++) {
        int slot = s->slot[order[i]];
        if (slot < 0) {
            int next = s->used_slots + n_missing;
            s->missing[n_missing++] = i;
            slot = next < s->slots ? next : -1;
        }
        s->batch_slot[i] = slot;
    }
    for (int l = 1; l <= s->n_layers; l++) {
        const tb_plane *p = &s->planes[l];
        if (p->direct) {
            place(s, p, l, m);
        } else if (p->used) {
            for (int i = 0; i < m; i++) {
                if (s->slot[order[i]] >= 0) read_row(s, p, s->batch_slot[i], s->rows[l][i]);
            }
        }
    }
    s->lookups += m;
    s->hits += m - n_missing;
    if (!n_missing) return;
    event(s, TB_FILL);
    int64_t started_ns = now_ns();
    int64_t *spent_ns = s->used_slots < s->slots ? &s->fill_ns : &s->recompute_ns;
    for (int j = 0; j < n_missing; j++) {
        for (int l = 0; l <= s->n_layers; l++) s->sub[l][j] = s->rows[l][s->missing[j]];
        s->missing_image[j] = s->image[s->missing[j]];
    }
    body(s, n_missing, s->sub, s->missing_image);
    for (int j = 0; j < n_missing && s->used_slots < s->slots; j++, s->used_slots++) {
        s->slot[order[s->missing[j]]] = s->used_slots;
        for (int l = 1; l <= s->n_layers; l++) {
            tb_plane *p = &s->planes[l];
            if (p->used && !p->direct) keep_row(s, p, s->used_slots, s->sub[l][j]);
        }
    }
    *spent_ns += now_ns() - started_ns;
}

/* loss, backward, update ---------------------------------------------------------------------------------- */

/* Softmax cross-entropy of four samples: their logits by class in columns, replaced by the gradient. Returns the
 * losses. No scalar is written that a vector then reads: the processor could not forward it. */
TB_INLINE v4f loss_of_four(v4f *column, int n, v4i label, float share) {
    v4f top = column[0], own = all4(0.0f), sum = own;
    for (int c = 1; c < n; c++) top = greater_of(column[c], top);
    for (int c = 0; c < n; c++) {
        v4f below = column[c] - top;
        own = choose4(label == c, below, own);
        column[c] = exp_of(below);
        sum += column[c];
    }
    v4f by = share / sum;
    for (int c = 0; c < n; c++) column[c] = column[c] * by - choose4(label == c, all4(share), all4(0.0f));
    return log_of(sum) - own;
}

/* The batch's mean loss; its gradient is left in the last layer's gy. */
static float loss_of(tb_session *s, int m) {
    tb_layer *l = &s->layers[s->n_layers - 1];
    float *const *rows = s->rows[s->n_layers];
    v4f *column = (v4f *)s->columns, total = all4(0.0f);
    const float share = 1.0f / (float)m;
    for (int i = 0; i < m; i += 4) {
        int at[4];
        v4f counts;
        for (int j = 0; j < 4; j++) at[j] = i + j < m ? i + j : m - 1; /* a sample twice does no harm */
        for (int j = 0; j < 4; j++) counts[j] = i + j < m ? 1.0f : 0.0f;
        for (int c = 0; c < l->n_out; c += 4) {
            for (int j = 0; j < 4; j++) column[c + j] = *(const v4f *)(rows[at[j]] + c);
            transpose(column + c);
        }
        v4i label = *(const v4i *)(s->batch_label + i);
        v4f loss = loss_of_four(column, l->n_out, label, share);
        total += choose4(counts > all4(0.0f), loss, all4(0.0f));
        for (int c = 0; c < l->n_out; c += 4) {
            for (int j = l->n_out - c; j < 4; j++) column[c + j] = all4(0.0f);
            transpose(column + c);
            for (int j = 3; j >= 0; j--) *(v4f *)(l->gy_rows[at[j]] + c) = column[c + j];
        }
    }
    return ((total[0] + total[1]) + (total[2] + total[3])) * share;
}

/* Gradients of a network's adapters; nothing changes yet. */
static void net_backward(tb_session *s, int m) {
    const tb_grid *out = &s->net->grids[s->net->output];
    const tb_layer *l = &s->layers[s->n_layers - 1];
    for (int i = 0; i < m && out->gradient; i++) {
        memcpy(gradient_of(out, i), l->gy_rows[i], sizeof(float) * (size_t)out->cp);
    }
    back_nodes(s->net, s->still, m);
}

/* Gradients of every needed layer's linear output and of the adapters' middle values; nothing changes yet. */
static void backward(tb_session *s, int m) {
    if (s->net) {
        net_backward(s, m);
        return;
    }
    for (int l = s->n_layers - 1; l >= s->lowest; l--) {
        tb_layer *layer = &s->layers[l];
        if (l > s->lowest || layer->train_w) spread(layer->gy, layer->gy_wide, m * layer->o);
        if (layer->rank && (l > s->lowest || !s->still)) {
            tb_dot(m, layer->rank, layer->o, layer->b, layer->o, fixed(layer->gy_rows), layer->mid_rows, 0);
            rescale(s, layer->mid, m * layer->rank);
            spread(layer->mid, layer->mid_wide, m * layer->rank);
        }
        if (l == s->lowest) break;
        tb_term terms[TB_MAX_TERMS];
        int n = 0;
        terms[n++] = term_of(layer->gy_wide, layer->o, 1, layer->w_rows, layer->n_out);
        for (int a = 0; a < s->n_adapters; a++) {
            tb_adapter *p = &s->adapters[a];
            tb_layer *end = &s->layers[p->end];
            if (p->start != l) continue;
            terms[n++] = term_of(end->mid_wide + p->at * TB_UNIT, end->rank, 1, p->rows, p->rank);
        }
        tb_layer *before = layer - 1;
        outer_gate(m, before->o, terms, n, before->gy_rows, fixed(s->rows[l]), before->slope);
    }
}

/* The rules of the next step, of most weights and of adapters' second factors. */
static void next_rules(tb_session *s, double lr, tb_rule *rules) {
    tb_training *t = &s->training;
    if (t->n_states == 2) t->power1 *= t->beta1, t->power2 *= t->beta2;
    for (int second = 0; second < 2; second++) {
        double rate = second ? lr * t->second_rate : lr;
        tb_rule *r = &rules[second];
        r->rate = (float)-rate, r->n_states = t->n_states;
        r->beta1 = (float)t->momentum;
        if (t->n_states != 2) continue;
        double root = __builtin_sqrt((1.0 - t->power2) / (1.0 - t->beta2));
        r->rate = (float)(-2.0 * rate * (1.0 - t->beta1) / (1.0 - t->power1) * root);
        r->floor = (float)(2.0 * t->epsilon * root);
        r->keep = (float)(1.0 - rate * t->decay);
        r->beta1 = (float)t->beta1, r->beta2 = (float)t->beta2;
    }
}

/* The weights c by a sum of products: moved, or their gradient kept. */
static void change(const tb_session *s, int m, int n, const tb_term *by, float *const *c, size_t count,
                   tb_rule *rule) {
    rule->apart = apart_of(count);
    switch (s->training.keeps ? TB_KEEP : s->training.rule) {
        case TB_STEP: outer_step(m, n, by, c, rule); break;
        case TB_MOMENTUM: outer_momentum(m, n, by, c, rule); break;
        case TB_ADAMW: outer_adamw(m, n, by, c, rule); break;
        case TB_DECAY: outer_decay(m, n, by, c, rule); break;
        default: outer_keep(m, n, by, c, rule); break;
    }
}

TB_INLINE void bias_by(const int what, tb_layer *l, int m, const tb_rule *rule) {
    const tb_rule own = *rule;
    for (int o = 0; o < l->o; o += VL) {
        vf sum = all(0.0f);
        for (int i = 0; i < m; i++) sum += load(l->gy_rows[i] + o);
        move(what, l->bias + o, sum, &own);
    }
}

static void update_bias(const tb_session *s, tb_layer *l, int m, tb_rule *rule) {
    rule->apart = apart_of((size_t)l->o);
    switch (s->training.keeps ? TB_KEEP : s->training.rule) {
        case TB_STEP: bias_by(TB_STEP, l, m, rule); break;
        case TB_MOMENTUM: bias_by(TB_MOMENTUM, l, m, rule); break;
        case TB_ADAMW: bias_by(TB_ADAMW, l, m, rule); break;
        case TB_DECAY: bias_by(TB_DECAY, l, m, rule); break;
        default: bias_by(TB_KEEP, l, m, rule); break;
    }
    fold(l);
}

/* What a clipped gradient is multiplied by: torch's clip_grad_norm_. NaN stays NaN. */
static float clip_share(const tb_session *s) {
    double squares = 0.0;
    for (int i = 0; i < s->n_trained; i++) {
        const tb_trained *t = &s->trained[i];
        const float *from = t->at + (s->training.n_states + 1) * t->apart;
        vf sum = all(0.0f);
        for (long at = 0; at < t->count; at += VL) sum += load(from + at) * load(from + at);
        for (int j = 0; j < VL; j++) squares += (double)sum[j];
    }
    double share = s->training.clip / (__builtin_sqrt(squares) + 1e-6);
    return share > 1.0 ? 1.0f : (float)share;
}

TB_INLINE void move_kept(const int what, const tb_trained *t, const tb_rule *rule) {
    const tb_rule own = *rule;
    float *to = t->at;
    const float *from = to + (own.n_states + 1) * own.apart;
    for (const float *end = to + t->count; to < end; to += VL, from += VL) {
        move(what, to, own.share * load(from) + own.decay * load(to), &own);
    }
}

/* All weights by the gradients that were kept. */
static void move_all(tb_session *s, tb_rule *rules) {
    const tb_training *training = &s->training;
    float share = training->clip > 0.0 ? clip_share(s) : 1.0f;
    float decay = training->rule == TB_DECAY ? 0.0f : (float)training->decay;
    for (int i = 0; i < s->n_trained; i++) {
        const tb_trained *t = &s->trained[i];
        tb_rule *rule = &rules[t->second];
        rule->share = share, rule->decay = decay, rule->apart = t->apart;
        switch (training->rule) {
            case TB_STEP: move_kept(TB_STEP, t, rule); break;
            case TB_MOMENTUM: move_kept(TB_MOMENTUM, t, rule); break;
            case TB_ADAMW: move_kept(TB_ADAMW, t, rule); break;
            default: move_kept(TB_DECAY, t, rule); break;
        }
    }
    for (int l = 0; l < s->n_layers; l++) {
        if (s->layers[l].train_b) fold(&s->layers[l]);
    }
}

TB_INLINE void move_by(const int what, float *to, const float *gradient, long count, const tb_rule *rule) {
    const tb_rule own = *rule;
    for (const float *end = to + count; to < end; to += VL, gradient += VL) move(what, to, load(gradient), &own);
}

/* Weights by a gradient: moved, or the gradient kept. */
static void change_by(const tb_session *s, float *to, const float *gradient, long count, tb_rule *rule) {
    rule->apart = apart_of((size_t)count);
    switch (s->training.keeps ? TB_KEEP : s->training.rule) {
        case TB_STEP: move_by(TB_STEP, to, gradient, count, rule); break;
        case TB_MOMENTUM: move_by(TB_MOMENTUM, to, gradient, count, rule); break;
        case TB_ADAMW: move_by(TB_ADAMW, to, gradient, count, rule); break;
        case TB_DECAY: move_by(TB_DECAY, to, gradient, count, rule); break;
        default: move_by(TB_KEEP, to, gradient, count, rule); break;
    }
}

static void update_net(const tb_session *s, tb_rule *rules) {
    for (int i = 0; i < s->net->n_nodes; i++) {
        tb_node *n = &s->net->nodes[i];
        if (n->kind != TB_NODE_CONV || n->adapter < 0) continue;
        int op = s->net->grids[n->out].cp;
        for (int r = 0; r < n->rank; r++) {
            float *row = n->b_change + (long)r * op;
            for (int o = 0; o < op; o += VL) store(row + o, load(row + o) * load(n->slope + o) * s->scale);
        }
        change_by(s, n->b, n->b_change, (long)n->rank * op, &rules[1]);
        if (!s->still) change_by(s, n->a, n->a_change, (long)n->rank * n->t, &rules[0]);
    }
}

static void update(tb_session *s, int m, double lr) {
    tb_rule rules[2];
    next_rules(s, lr, rules);
    if (s->net) update_net(s, rules);
    for (int l = s->lowest; l < s->n_layers; l++) {
        tb_layer *layer = &s->layers[l];
        if (layer->train_w) {
            tb_term by = term_of(layer->gy_wide, 1, layer->o, s->rows[l], m);
            change(s, layer->n_out, layer->k, &by, layer->w_rows, (size_t)layer->o * layer->k, &rules[0]);
        }
        if (layer->train_b) update_bias(s, layer, m, &rules[0]);
        if (layer->rank) {
            tb_term by = term_of(layer->u_wide, 1, layer->rank, layer->gy_rows, m);
            size_t count = (size_t)layer->rank * layer->o;
            change(s, layer->rank, layer->o, &by, layer->b_rows, count, &rules[1]);
        }
    }
    for (int a = 0; a < s->n_adapters && !s->still; a++) {
        tb_adapter *p = &s->adapters[a];
        tb_layer *end = &s->layers[p->end], *start = &s->layers[p->start];
        tb_term by = term_of(end->mid_wide + p->at * TB_UNIT, 1, end->rank, s->rows[p->start], m);
        size_t count = (size_t)((p->rank + 3) / 4 * 4) * start->k;
        change(s, p->rank, start->k, &by, p->rows, count, &rules[0]);
    }
    if (s->training.keeps) move_all(s, rules);
}

static float step(tb_session *s, const int32_t *order, int m, double lr) {
    int width = s->layers[0].k;
    event(s, TB_GATHER);
    for (int i = 0; i < m; i++) {
        s->rows[0][i] = s->x + (size_t)order[i] * width;
        s->image[i] = s->images + (size_t)order[i] * s->image_b;
        s->batch_label[i] = s->label[order[i]];
    }
    if (s->caching) lookup(s, order, m);
    event(s, TB_FORWARD);
    forward(s, m);
    float loss = loss_of(s, m);
    event(s, TB_BACKWARD);
    backward(s, m);
    event(s, TB_UPDATE);
    update(s, m, lr);
    return loss;
}

/* Where a weight's gradient has become zero, its moments halve again and again, down to where a float has no exponent
 * left; some processors take a hundred times as long there. Below 1e-38 is 0 meanwhile. */
static unsigned flush_tiny(void) {
#if defined(__SSE2__)
    unsigned mode = _mm_getcsr();
    _mm_setcsr(mode | 0x8040);
    return mode;
#else
    return 0;
#endif
}

static void restore_tiny(unsigned mode) {
#if defined(__SSE2__)
    _mm_setcsr(mode);
#else
    (void)mode;
#endif
}

/* Trains epochs; order: epochs x n_rows indices of samples; rates: the learning rate of each of their steps.
 * step_loss: epochs x steps, epoch_loss: epochs. events: NULL, or room for 5 a step. Ends early behind an epoch whose loss is not finite. Returns the number
 * of epochs run. */
TB_API int tb_train(tb_session *s, const int32_t *order, int epochs, const double *rates, float *step_loss,
                    double *epoch_loss, tb_event *events, int64_t *n_events) {
    s->events = events;
    s->n_events = 0;
    int done = 0;
    unsigned mode = s->training.n_states ? flush_tiny() : 0;
    while (done < epochs) {
        double total = 0.0;
        for (int at = 0; at < s->n_rows; at += s->batch) {
            int m = s->n_rows - at < s->batch ? s->n_rows - at : s->batch;
            *step_loss = step(s, order + at, m, *rates++);
            total += (double)*step_loss++ * m;
        }
        order += s->n_rows;
        epoch_loss[done++] = total / s->n_rows;
        if (!(total - total == 0.0)) break; /* NaN or infinite */
    }
    if (s->training.n_states) restore_tiny(mode);
    if (n_events) *n_events = s->n_events;
    return done;
}

/* Logits (n x n_out) of inputs (n x n_in), or of images behind a trunk; nothing cached. */
static void logits_of(tb_session *s, const float *x, const uint8_t *images, int n, float *logits) {
    tb_layer *last = &s->layers[s->n_layers - 1];
    int n_in = s->layers[0].n_in, caching = s->caching;
    for (int l = 0; l <= s->n_layers; l++) {
        for (int i = 0; i < s->batch; i++) {
            s->rows[l][i] = l == 0 ? s->staged + (size_t)i * s->layers[0].k : s->layers[l - 1].y_rows[i];
        }
    }
    s->caching = 0;
    for (int at = 0; at < n; at += s->batch) {
        int m = n - at < s->batch ? n - at : s->batch;
        if (x) copy_in(s->staged, s->layers[0].k, x + (size_t)at * n_in, m, n_in);
        for (int i = 0; images && i < m; i++) s->image[i] = images + (size_t)(at + i) * s->image_b;
        forward(s, m);
        for (int i = 0; i < m; i++) {
            memcpy(logits + (size_t)(at + i) * last->n_out, last->y_rows[i], sizeof(float) * last->n_out);
        }
    }
    s->caching = caching;
}

TB_API void tb_logits(tb_session *s, const float *x, int n, float *logits) { logits_of(s, x, NULL, n, logits); }

TB_API void tb_logits_of_images(tb_session *s, const uint8_t *images, int n, float *logits) {
    logits_of(s, NULL, images, n, logits);
}

/* a network's trunk --------------------------------------------------------------------------------------- */

TB_API tb_trunk *tb_trunk_new(const int32_t *ops, int n_ops, const int32_t *maps, int n_maps, const int32_t *outputs,
                              int n_outputs, int chunk, int64_t arena) {
    return trunk_of(ops, n_ops, maps, n_maps, outputs, n_outputs, chunk, arena);
}

TB_API void tb_trunk_free(tb_trunk *t) { tb_trunk_release(t); }

TB_API void tb_trunk_set(tb_trunk *t, int node, const float *w, const float *slope, const float *shift) {
    set_node(t, node, w, slope, shift);
}

/* (c, h, w), as torch has them, of a map's pixels. */
static float *copy_out(const tb_map *map, const float *from, float *to) {
    long place = (long)map->h * map->w;
    for (int c = 0; c < map->c; c++) {
        for (long at = 0; at < place; at++) *to++ = from[at * map->cp + c];
    }
    return to;
}

/* The outputs of n images of image_b bytes: of each image one behind another. */
TB_API void tb_trunk_values(tb_trunk *t, const uint8_t *images, int image_b, int n, float *values) {
    const uint8_t *chunk[TB_MAX_CHUNK];
    for (int at = 0; at < n; at += t->chunk) {
        int m = n - at < t->chunk ? n - at : t->chunk;
        for (int i = 0; i < m; i++) chunk[i] = images + (size_t)(at + i) * image_b;
        run_trunk(t, chunk, m);
        for (int i = 0; i < m; i++) {
            for (int o = 0; o < t->n_outputs; o++) {
                values = copy_out(&t->maps[t->outputs[o]], output_of(t, o, i), values);
            }
        }
    }
}

/* Where a session's planes come from: a trunk, which must live longer, and its images of image_b bytes. */
TB_API void tb_feed(tb_session *s, tb_trunk *t, const uint8_t *images, int image_b) {
    s->trunk = t, s->images = images, s->image_b = image_b;
}

/* a network with adapters --------------------------------------------------------------------------------- */

/* nodes, grids: rows of numbers as net.py makes them; sizes: the image's channels, height and width, the window, stride and
 * padding (ky, kx, stride, padding) of the layer that reads it, the grid of the logits, floats of an image's gradients.
 * Returns 0, or -1: out of memory. The images are those of the fine-tuning, image_b bytes each. */
TB_API int tb_net_new(tb_session *s, const int32_t *nodes, int n_nodes, const int32_t *grids, int n_grids,
                      const int32_t *sizes, const uint8_t *images, int image_b) {
    s->images = images, s->image_b = image_b;
    s->net = make_net(s, nodes, n_nodes, grids, n_grids, sizes);
    return s->net ? 0 : -1;
}

TB_API void tb_net_set(tb_session *s, int node, const float *w, const float *slope, const float *shift) {
    set_net_node(s->net, node, w, slope, shift);
}

/* inspection ---------------------------------------------------------------------------------------------- */

/* What the cache holds of a sample (planes in order), and what it ought to hold. Returns 0, or -1: not kept. */
TB_API int tb_cached(tb_session *s, int sample, float *held, float *again) {
    int slot = s->slot[sample];
    if (slot < 0) return -1;
    float *one[TB_MAX_TERMS];
    float **rows[TB_MAX_TERMS];
    for (int l = 0; l <= s->n_layers; l++) {
        one[l] = l == 0 ? s->x + (size_t)sample * s->layers[0].k : s->layers[l - 1].y_rows[0];
        rows[l] = &one[l];
    }
    const uint8_t *image = s->images + (size_t)sample * s->image_b;
    body(s, 1, rows, &image);
    for (int l = 1; l <= s->n_layers; l++) {
        tb_plane *p = &s->planes[l];
        if (!p->used) continue;
        read_row(s, p, slot, held);
        for (int i = 0; i < p->n; i++) again[i] = s->half ? from_half(to_half(one[l][i])) : one[l][i];
        held += p->n, again += p->n;
    }
    return 0;
}

/* lookups; hits; kept samples; time spent computing what was then kept, and what found no room, ns */
TB_API void tb_counts(const tb_session *s, int64_t *counts) {
    counts[0] = s->lookups, counts[1] = s->hits, counts[2] = s->used_slots;
    counts[3] = s->fill_ns, counts[4] = s->recompute_ns;
}

#include "probe.h"
