/* Making a network with adapters: room, which inputs an output reads, weights from torch's order into panels. */
#ifndef TB_NET_MAKE_H
#define TB_NET_MAKE_H

#include "net.h"

static void make_grid(tb_session *s, tb_grid *g, const int32_t *row, float *arena) {
    g->h = row[0], g->w = row[1], g->c = row[2], g->cp = padded(g->c), g->border = row[3];
    g->row = (long)(g->w + 2 * g->border) * g->cp;
    g->image = (g->h + 2 * g->border) * g->row;
    g->at = take_floats(s, (size_t)g->image * s->batch);
    if (row[4] >= 0 && arena) g->gradient = arena + (long)row[4] * s->batch;
}

static void take_places(tb_session *s, tb_places *p, int n, int n_runs) {
    p->n = n, p->n_runs = 0;
    p->from = take(s, (size_t)n + 1, sizeof *p->from);
    p->to = take(s, (size_t)n + 1, sizeof *p->to);
    p->runs = take(s, (size_t)n_runs + 1, sizeof *p->runs);
}

/* Forward: each row of a window is one run. */
static void find_ahead(tb_session *s, tb_node *n, const tb_grid *in, const tb_grid *out) {
    const tb_window *k = &n->window;
    take_places(s, &n->ahead, out->h * out->w, k->kh);
    n->spots = take(s, (size_t)out->h * out->w, sizeof *n->spots);
    if (s->failed) return;
    for (int i = 0; i < k->kh; i++) {
        int length = k->kw == 1 ? in->c : k->kw * in->cp;
        n->ahead.runs[n->ahead.n_runs++] = (tb_run){(int32_t)(i * in->row), length, i * k->kw * in->cp};
    }
    for (int at = 0; at < out->h * out->w; at++) {
        int y = at / out->w, x = at % out->w;
        long first = (y * k->stride - k->pad + in->border) * in->row;
        n->ahead.from[at] = (int32_t)(first + (long)(x * k->stride - k->pad + in->border) * in->cp);
        n->ahead.to[at] = (int32_t)((y + out->border) * out->row + (long)(x + out->border) * out->cp);
        n->spots[at] = ((y + n->border) * (out->w + 2 * n->border) + x + n->border) * out->cp;
    }
}

/* Zeros around a gated gradient, so that every tap of every input lies inside. */
static int border_behind(int kernel, int stride, int pad) {
    int low = (kernel - 1 - pad + stride - 1) / stride, high = (kernel - pad + stride - 2) / stride;
    return low > high ? low : high;
}

/* The inputs of one phase (y, x of a stride) and the outputs that read them: one run for each tap. */
static void find_phase(tb_session *s, tb_node *n, const tb_grid *in, const tb_grid *out, int y0, int x0) {
    const tb_window *k = &n->window;
    int rows = (in->h - y0 + k->stride - 1) / k->stride, columns = (in->w - x0 + k->stride - 1) / k->stride;
    int width = out->w + 2 * n->border;
    if (rows <= 0 || columns <= 0) return;
    tb_places *p = &n->behind[n->n_behind++];
    take_places(s, p, rows * columns, k->kh * k->kw);
    if (s->failed) return;
    for (int i = 0; i < k->kh; i++) {
        for (int j = 0; j < k->kw; j++) {
            int y = y0 + k->pad - i, x = x0 + k->pad - j;
            if (y % k->stride || x % k->stride) continue;
            int at = (y / k->stride * width + x / k->stride) * out->cp;
            p->runs[p->n_runs++] = (tb_run){at, out->c, (i * k->kw + j) * out->cp};
        }
    }
    for (int at = 0; at < p->n; at++) {
        int y = at / columns, x = at % columns;
        p->from[at] = ((y + n->border) * width + x + n->border) * out->cp;
        p->to[at] = ((y0 + y * k->stride) * in->w + x0 + x * k->stride) * in->cp;
    }
}

static void make_conv(tb_session *s, tb_net *net, tb_node *n) {
    const tb_grid *in = &net->grids[n->left], *out = &net->grids[n->out];
    const tb_window *k = &n->window;
    n->t = k->kh * k->kw * in->cp;
    size_t size = (size_t)n->t * out->cp, thin_in = (size_t)n->rank * n->t, thin_out = (size_t)n->rank * out->cp;
    int trains = n->adapter >= 0;
    n->fixed = take_floats(s, size), n->w = trains ? take_floats(s, size) : n->fixed;
    n->bias = take_floats(s, out->cp), n->slope = take_floats(s, out->cp);
    n->across = (tb_run){0, out->cp, 0};
    if (n->need_left) {
        int high = border_behind(k->kh, k->stride, k->pad), wide = border_behind(k->kw, k->stride, k->pad);
        n->border = high > wide ? high : wide;
        n->fixed_back = take_floats(s, size), n->back = trains ? take_floats(s, size) : n->fixed_back;
        n->behind = take(s, (size_t)k->stride * k->stride, sizeof *n->behind);
        for (int y = 0; y < k->stride && !s->failed; y++) {
            for (int x = 0; x < k->stride; x++) find_phase(s, n, in, out, y, x);
        }
    }
    find_ahead(s, n, in, out);
    if (!trains) return;
    n->a = take_weights(s, thin_in, !s->still, 0), n->b = take_weights(s, thin_out, 1, 1);
    n->b_slope = take_floats(s, thin_out);
    n->a_change = take_floats(s, thin_in), n->b_change = take_floats(s, thin_out);
}

static tb_net *make_net(tb_session *s, const int32_t *nodes, int n_nodes, const int32_t *grids, int n_grids,
                        const int32_t *sizes) {
    tb_net *net = take(s, 1, sizeof *net);
    float *arena = take_floats(s, (size_t)sizes[8] * s->batch);
    if (s->failed) return NULL;
    net->n_nodes = n_nodes, net->n_grids = n_grids, net->c = sizes[0], net->h = sizes[1], net->w = sizes[2];
    net->window = (tb_window){sizes[3], sizes[4], sizes[5], sizes[6], 1};
    net->output = sizes[7];
    net->grids = take(s, (size_t)n_grids, sizeof *net->grids);
    net->nodes = take(s, (size_t)n_nodes, sizeof *net->nodes);
    size_t gated = 0, places = 0;
    for (int i = 0; i < n_grids && !s->failed; i++, grids += TB_GRID_INTS) make_grid(s, &net->grids[i], grids, arena);
    for (int i = 0; i < n_nodes && !s->failed; i++, nodes += TB_NODE_INTS) {
        tb_node *n = &net->nodes[i];
        n->kind = nodes[0], n->left = nodes[1], n->right = nodes[2], n->out = nodes[3];
        n->window = (tb_window){nodes[4], nodes[5], nodes[6], nodes[7], 1};
        n->act = nodes[8], n->first = nodes[9], n->need_left = nodes[10], n->need_right = nodes[11];
        n->c_out = nodes[12], n->c_in = nodes[13], n->kh = nodes[14], n->kw = nodes[15], n->tap = nodes[16];
        n->adapter = nodes[17], n->rank = (nodes[18] + 3) / 4 * 4;
        if (n->kind != TB_NODE_CONV) continue;
        make_conv(s, net, n);
        const tb_grid *out = &net->grids[n->out];
        size_t room = (size_t)(out->h + 2 * n->border) * (out->w + 2 * n->border) * out->cp;
        size_t middle = (size_t)out->h * out->w * n->rank;
        gated = room > gated ? room : gated, places = middle > places ? middle : places;
    }
    net->gated = take_floats(s, gated), net->low = take_floats(s, places), net->high = take_floats(s, places);
    return s->failed ? NULL : net;
}

/* Where an input (channel, row, column of the window) stands among a layer's rows. */
static int row_of(const tb_node *n, int c, int i, int j) { return (i * n->kw + j) * n->tap + c; }

/* Weight as torch keeps it, slope and shift of what follows. */
static void set_net_node(tb_net *net, int index, const float *w, const float *slope, const float *shift) {
    tb_node *n = &net->nodes[index];
    const tb_grid *in = &net->grids[n->left], *out = &net->grids[n->out];
    int back_t = n->t / in->cp * out->cp;
    for (int o = 0; o < n->c_out; o++) {
        n->bias[o] = shift[o], n->slope[o] = slope[o];
        for (int c = 0; c < n->c_in; c++) {
            for (int i = 0; i < n->kh; i++) {
                for (int j = 0; j < n->kw; j++) {
                    float value = slope[o] * *w++;
                    int row = row_of(n, c, i, j);
                    n->fixed[packed_at(n->t, out->cp, row, o)] = value;
                    if (!n->need_left) continue;
                    n->fixed_back[packed_at(back_t, in->cp, row / in->cp * out->cp + o, row % in->cp)] = value;
                }
            }
        }
    }
}

static tb_node *adapted_node(tb_net *net, int adapter) {
    for (int i = 0; i < net->n_nodes; i++) {
        if (net->nodes[i].kind == TB_NODE_CONV && net->nodes[i].adapter == adapter) return &net->nodes[i];
    }
    return NULL;
}

/* first: rank x (c_in, kh, kw), second: outputs x rank, as torch keeps them; to: copied to the kernels', else from them. */
static void copy_factors(tb_net *net, int adapter, int rank, float *first, float *second, int to) {
    tb_node *n = adapted_node(net, adapter);
    if (!n) return;
    int op = net->grids[n->out].cp;
    for (int r = 0; r < rank; r++) {
        for (int c = 0; c < n->c_in; c++) {
            for (int i = 0; i < n->kh; i++) {
                for (int j = 0; j < n->kw; j++, first++) {
                    float *own = n->a + (long)r * n->t + row_of(n, c, i, j);
                    if (to) *own = *first;
                    else *first = *own;
                }
            }
        }
        for (int o = 0; o < n->c_out; o++) {
            float *own = n->b + (long)r * op + o, *theirs = second + o * rank + r;
            if (to) *own = *theirs;
            else *theirs = *own;
        }
    }
}

#endif
