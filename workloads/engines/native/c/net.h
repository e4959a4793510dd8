/* Adapters beside the layers of a network: forward, backward and update of convolutions, pooling, sums, joined channels.
 *
 * A layer runs with its composed weight, W + scale B A with BatchNorm's slope in it, formed once a step. Its factors'
 * gradients are taken apart from it, through their few middle values, so that the gradient of a whole weight is never
 * formed. Values of a batch stay for the way back, in maps with a border of zeros where a window reaches over the edge:
 * a window's rows then lie one behind another and nothing is gathered. Which node reads which map is data (net.py).
 */
#ifndef TB_NET_H
#define TB_NET_H

#include "conv.h"

/* as net.py numbers them */
enum { TB_NODE_CONV, TB_NODE_ADD, TB_NODE_PUT, TB_NODE_MAX, TB_NODE_MEAN };
/* an input's gradient: nobody needs it, is stored, is added to what stands there */
enum { TB_NEEDLESS, TB_FIRST, TB_MORE };
enum { TB_GRID_INTS = 5, TB_NODE_INTS = 20 };

/* The values of a batch: pixel by pixel, channels padded, `border` pixels of zeros around; gradients without it. */
typedef struct {
    int h, w, c, cp, border;
    long row, image; /* floats */
    float *at, *gradient;
} tb_grid;

/* Inputs that lie together: floats from a place on, how many, and their first row of weights. */
typedef struct {
    int32_t x, n, w;
} tb_run;

/* Outputs of one image that read alike: where each one's inputs start, and where it lies. */
typedef struct {
    int n, n_runs;
    int32_t *from, *to;
    tb_run *runs;
} tb_places;

typedef struct {
    int kind, left, right, out;
    tb_window window;
    int act, first;
    int need_left, need_right;
    int c_out, c_in, kh, kw, tap; /* of the weight as torch has it; rows of ours from one tap to the next */
    int t;                        /* rows of the weight: inputs of an output, padded */
    float *fixed, *w;             /* frozen weight times slope; composed */
    float *fixed_back, *back;     /* the same with inputs and outputs changed, for the inputs' gradient */
    float *bias, *slope;
    int adapter, rank;            /* -1: none; padded to a multiple of 4 */
    float *a, *b, *b_slope;       /* rank x t; rank x outputs; times scale and slope */
    float *a_change, *b_change;   /* gradients */
    tb_places ahead, *behind;
    int n_behind, border;         /* of the gated gradient */
    tb_run across;                /* all channels of one of its pixels */
    int32_t *spots;
} tb_node;

typedef struct tb_net {
    int n_nodes, n_grids, output, c, h, w; /* of the image */
    tb_window window;                      /* of the layer that reads the image */
    tb_node *nodes;
    tb_grid *grids;
    float *gated, *low, *high; /* of an image: gradient behind the activation; middle values and their gradient */
} tb_net;

/* products ------------------------------------------------------------------------------------------------ */

/* Some pixels' outputs in a panel: bias, or what stands there, or nothing, and the products of all runs. */
TB_INLINE void run_tile(const int pixels, const int cols, const tb_places *p, int first, const float *x, const float *w,
                        const float *bias, float *y, int add, int act) {
    vf sum[TB_PIXELS][TB_COLS];
    float *to[TB_PIXELS];
    const float *start[TB_PIXELS];
    TB_UNROLL for (int i = 0; i < pixels; i++) {
        to[i] = y + p->to[first + i], start[i] = x + p->from[first + i];
        TB_UNROLL for (int v = 0; v < cols; v++) {
            sum[i][v] = bias ? load(bias + v * VL) : add ? load(to[i] + v * VL) : all(0.0f);
        }
    }
    for (const tb_run *run = p->runs, *end = run + p->n_runs; run < end; run++) {
        const float *from[TB_PIXELS], *row = w + (long)run->w * (cols * VL);
        TB_UNROLL for (int i = 0; i < pixels; i++) from[i] = start[i] + run->x;
        for (long k = 0; k < run->n; k++, row += cols * VL) {
            vf part[TB_COLS];
            TB_UNROLL for (int v = 0; v < cols; v++) part[v] = load(row + v * VL);
            TB_UNROLL for (int i = 0; i < pixels; i++) {
                vf times = each(from[i][k]);
                TB_UNROLL for (int v = 0; v < cols; v++) sum[i][v] += times * part[v];
            }
        }
    }
    TB_UNROLL for (int i = 0; i < pixels; i++) {
        TB_UNROLL for (int v = 0; v < cols; v++) store(to[i] + v * VL, activated(sum[i][v], act));
    }
}

/* All places in tiles of nearly the same size: a tile of few pixels takes as long as one of many. */
TB_INLINE void run_panel(const int cols, const tb_places *p, const float *x, const float *w, const float *bias, float *y,
                         int add, int act) {
    int tiles = (p->n + TB_PIXELS - 1) / TB_PIXELS;
    for (int i = 0, at = 0; i < tiles; i++) {
        int n = (p->n - at) / (tiles - i);
        switch (n) {
            case 1: run_tile(1, cols, p, at, x, w, bias, y, add, act); break;
            case 2: run_tile(2, cols, p, at, x, w, bias, y, add, act); break;
            case 3: run_tile(3, cols, p, at, x, w, bias, y, add, act); break;
            case 4: run_tile(4, cols, p, at, x, w, bias, y, add, act); break;
            case 5: run_tile(AT_MOST(5, TB_PIXELS), cols, p, at, x, w, bias, y, add, act); break;
            default: run_tile(TB_PIXELS, cols, p, at, x, w, bias, y, add, act); break;
        }
        at += n;
    }
}

/* Weights w: panels of outputs, t rows each. */
static void run_places(const tb_places *p, int t, int op, const float *x, const float *w, const float *bias, float *y,
                       int add, int act) {
    for (int at = 0; at < op; at += TB_COLS * VL) {
        int width = panel_of(op, at);
        const float *own = bias ? bias + at : NULL;
        switch (width / VL) {
            case 4: run_panel(AT_MOST(4, TB_COLS), p, x, w, own, y + at, add, act); break;
            case 3: run_panel(AT_MOST(3, TB_COLS), p, x, w, own, y + at, add, act); break;
            case 2: run_panel(AT_MOST(2, TB_COLS), p, x, w, own, y + at, add, act); break;
            default: run_panel(1, p, x, w, own, y + at, add, act); break;
        }
        w += (long)t * width;
    }
}

/* Middle values of some places: four rows of a factor, as long as a place's inputs. */
TB_INLINE void low_tile(const int pixels, const tb_run *runs, int n_runs, const int32_t *from, const float *x,
                        const float *a, long lda, float *u, int rank) {
    vf sum[TB_ROWS][4];
    TB_UNROLL for (int i = 0; i < pixels; i++) {
        TB_UNROLL for (int r = 0; r < 4; r++) sum[i][r] = all(0.0f);
    }
    for (const tb_run *run = runs, *end = runs + n_runs; run < end; run++) {
        const float *row[TB_ROWS], *by = a + run->w;
        TB_UNROLL for (int i = 0; i < pixels; i++) row[i] = x + from[i] + run->x;
        for (long k = 0; k < run->n; k += VL) {
            vf part[TB_ROWS];
            TB_UNROLL for (int i = 0; i < pixels; i++) part[i] = load(row[i] + k);
            TB_UNROLL for (int r = 0; r < 4; r++) {
                vf weight = load(by + r * lda + k);
                TB_UNROLL for (int i = 0; i < pixels; i++) sum[i][r] += weight * part[i];
            }
        }
    }
    TB_UNROLL for (int i = 0; i < pixels; i++) {
        *(v4f *)(u + (long)i * rank) = sums_of(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
    }
}

static void low_values(const tb_run *runs, int n_runs, int n, const int32_t *from, const float *x, const float *a,
                       long lda, float *u, int rank) {
    for (int r = 0; r < rank; r += 4, a += 4 * lda) {
        int i = 0;
        for (; i + TB_ROWS <= n; i += TB_ROWS) {
            low_tile(TB_ROWS, runs, n_runs, from + i, x, a, lda, u + (long)i * rank + r, rank);
        }
        for (; i < n; i++) low_tile(1, runs, n_runs, from + i, x, a, lda, u + (long)i * rank + r, rank);
    }
}

/* Four rows of a factor's gradient by the places' middle values and inputs. */
TB_INLINE void change_tile(const int cols, int n, const int32_t *from, const float *x, const float *by, int rank,
                           float *to, long ld) {
    vf sum[4][TB_COLS];
    TB_UNROLL for (int r = 0; r < 4; r++) {
        TB_UNROLL for (int v = 0; v < cols; v++) sum[r][v] = load(to + r * ld + v * VL);
    }
    for (int i = 0; i < n; i++, by += rank) {
        vf part[TB_COLS];
        TB_UNROLL for (int v = 0; v < cols; v++) part[v] = load(x + from[i] + v * VL);
        TB_UNROLL for (int r = 0; r < 4; r++) {
            vf times = each(by[r]);
            TB_UNROLL for (int v = 0; v < cols; v++) sum[r][v] += times * part[v];
        }
    }
    TB_UNROLL for (int r = 0; r < 4; r++) {
        TB_UNROLL for (int v = 0; v < cols; v++) store(to + r * ld + v * VL, sum[r][v]);
    }
}

static void add_change(const tb_run *runs, int n_runs, int n, const int32_t *from, const float *x, const float *by,
                       int rank, float *to, long ld) {
    for (int r = 0; r < rank; r += 4, by += 4, to += 4 * ld) {
        for (const tb_run *run = runs, *end = runs + n_runs; run < end; run++) {
            int at = 0, count = (run->n + VL - 1) / VL * VL;
            for (; at + TB_COLS * VL <= count; at += TB_COLS * VL) {
                change_tile(TB_COLS, n, from, x + run->x + at, by, rank, to + run->w + at, ld);
            }
            for (; at < count; at += VL) change_tile(1, n, from, x + run->x + at, by, rank, to + run->w + at, ld);
        }
    }
}

/* weights ------------------------------------------------------------------------------------------------- */

/* Where a weight of (row, column) lies in panels of `columns`, t rows each. */
static long packed_at(int t, int columns, int row, int column) {
    int panel = column / (TB_COLS * VL) * (TB_COLS * VL), width = panel_of(columns, panel);
    return (long)t * panel + (long)row * width + (column - panel);
}

/* to = fixed + sum over r of left[r][row] * right[r][column]; every `turns` rows left begins again, right goes on. */
static void compose(float *to, const float *fixed, int t, int columns, const float *left, long ld_left, int turns,
                    const float *right, long ld_right, int rank) {
    for (int panel = 0; panel < columns; panel += TB_COLS * VL) {
        int width = panel_of(columns, panel);
        for (int row = 0; row < t; row++, to += width, fixed += width) {
            const float *l = left + row % turns, *r = right + (long)(row / turns) * columns + panel;
            for (int j = 0; j < width; j += VL) {
                vf sum = load(fixed + j);
                for (int k = 0; k < rank; k++) sum += each(l[k * ld_left]) * load(r + k * ld_right + j);
                store(to + j, sum);
            }
        }
    }
}

/* forward ------------------------------------------------------------------------------------------------- */

/* Bytes (c, h, w) of an image as the inputs of each output of the layer that reads it. */
static void unfold(const tb_net *net, const uint8_t *image, const tb_grid *out, float *y) {
    const tb_window *k = &net->window;
    for (int at = 0; at < out->h * out->w; at++, y += out->cp) {
        int y0 = at / out->w * k->stride - k->pad, x0 = at % out->w * k->stride - k->pad;
        float *to = y;
        for (int i = y0; i < y0 + k->kh; i++) {
            for (int j = x0; j < x0 + k->kw; j++) {
                int inside = i >= 0 && i < net->h && j >= 0 && j < net->w;
                for (int c = 0; c < net->c; c++) {
                    *to++ = inside ? (float)image[((long)c * net->h + i) * net->w + j] / 255.0f : 0.0f;
                }
            }
        }
    }
}

TB_INLINE float *inner(const tb_grid *g, int image, int row) {
    return g->at + image * g->image + (row + g->border) * g->row + (long)g->border * g->cp;
}

TB_INLINE float *gradient_of(const tb_grid *g, int image) { return g->gradient + (long)image * g->h * g->w * g->cp; }

static void add_rows(const tb_grid *a, const tb_grid *b, const tb_grid *out, int act, int m) {
    for (int i = 0; i < m; i++) {
        for (int row = 0; row < out->h; row++) {
            const float *left = inner(a, i, row), *right = inner(b, i, row);
            float *to = inner(out, i, row);
            for (long at = 0; at < (long)out->w * out->cp; at += VL) {
                store(to + at, activated(load(left + at) + load(right + at), act));
            }
        }
    }
}

static void put_rows(const tb_grid *in, const tb_grid *out, int first, int m) {
    for (int i = 0; i < m; i++) {
        for (int row = 0; row < in->h; row++) {
            const float *from = inner(in, i, row);
            float *to = inner(out, i, row) + first;
            for (int x = 0; x < in->w; x++, from += in->cp, to += out->cp) {
                memcpy(to, from, sizeof(float) * (size_t)in->c);
            }
        }
    }
}

static void max_rows(const tb_grid *in, const tb_grid *out, const tb_window *k, int m) {
    for (int i = 0; i < m; i++) {
        for (int at = 0; at < out->h * out->w; at++) {
            int y0 = at / out->w * k->stride - k->pad, x0 = at % out->w * k->stride - k->pad, r0, r1, c0, c1;
            float *to = inner(out, i, at / out->w) + (long)(at % out->w) * out->cp;
            inside_of(y0, k->kh, 1, in->h, &r0, &r1);
            inside_of(x0, k->kw, 1, in->w, &c0, &c1);
            for (int c = 0; c < in->cp; c += VL) {
                vf most = all(-__builtin_inff());
                for (int r = r0; r < r1; r++) {
                    const float *row = inner(in, i, y0 + r) + (long)x0 * in->cp + c;
                    for (int j = c0; j < c1; j++) {
                        vf value = load(row + (long)j * in->cp);
                        most = choose((vi)(value > most) | (vi)(value != value), value, most);
                    }
                }
                store(to + c, most);
            }
        }
    }
}

static void mean_rows(const tb_grid *in, const tb_grid *out, int m) {
    const float count = (float)(in->h * in->w);
    for (int i = 0; i < m; i++) {
        for (int c = 0; c < in->cp; c += VL) {
            vf sum = all(0.0f);
            for (int row = 0; row < in->h; row++) {
                const float *from = inner(in, i, row) + c;
                for (int x = 0; x < in->w; x++) sum += load(from + (long)x * in->cp);
            }
            store(inner(out, i, 0) + c, sum / count);
        }
    }
}

static void compose_node(const tb_net *net, tb_node *n, float scale) {
    if (n->adapter < 0) return;
    const tb_grid *in = &net->grids[n->left], *out = &net->grids[n->out];
    for (int r = 0; r < n->rank; r++) {
        long at = (long)r * out->cp;
        for (int o = 0; o < out->cp; o += VL) {
            store(n->b_slope + at + o, load(n->b + at + o) * load(n->slope + o) * scale);
        }
    }
    compose(n->w, n->fixed, n->t, out->cp, n->a, n->t, n->t, n->b_slope, out->cp, n->rank);
    if (n->need_left) {
        int rows = n->t / in->cp * out->cp;
        compose(n->back, n->fixed_back, rows, in->cp, n->b_slope, out->cp, out->cp, n->a, n->t, n->rank);
    }
}

static void run_nodes(tb_net *net, float scale, int m, const uint8_t *const *images) {
    tb_grid *g = net->grids;
    for (int i = 0; i < m; i++) unfold(net, images[i], &g[0], g[0].at + i * g[0].image);
    for (int at = 0; at < net->n_nodes; at++) {
        tb_node *n = &net->nodes[at];
        tb_grid *in = &g[n->left], *out = &g[n->out];
        switch (n->kind) {
            case TB_NODE_CONV:
                compose_node(net, n, scale);
                for (int i = 0; i < m; i++) {
                    run_places(&n->ahead, n->t, out->cp, in->at + i * in->image, n->w, n->bias,
                               out->at + i * out->image, 0, n->act);
                }
                break;
            case TB_NODE_ADD: add_rows(in, &g[n->right], out, n->act, m); break;
            case TB_NODE_PUT: put_rows(in, out, n->first, m); break;
            case TB_NODE_MAX: max_rows(in, out, &n->window, m); break;
            default: mean_rows(in, out, m); break;
        }
    }
}

/* backward ------------------------------------------------------------------------------------------------ */

/* The gradient through an activation: of rows with a border into rows of `step` floats. */
static void gate_rows(const tb_grid *out, int image, int act, float *to, long step) {
    const float *gradient = gradient_of(out, image);
    long width = (long)out->w * out->cp;
    for (int row = 0; row < out->h; row++, gradient += width, to += step) {
        const float *y = inner(out, image, row);
        for (long at = 0; at < width; at += VL) {
            vf value = load(gradient + at), here = load(y + at);
            vi open = (vi)(here > all(0.0f));
            if (act == TB_RELU6) open &= (vi)(here < all(6.0f));
            store(to + at, act == TB_PLAIN ? value : choose(open, value, all(0.0f)));
        }
    }
}

static void pass_rows(const tb_grid *to, const float *from, int need, int image) {
    float *at = gradient_of(to, image);
    long count = (long)to->h * to->w * to->cp;
    if (need == TB_FIRST) memcpy(at, from, sizeof(float) * (size_t)count);
    if (need == TB_MORE) {
        for (long i = 0; i < count; i += VL) store(at + i, load(at + i) + load(from + i));
    }
}

static void add_back(tb_net *net, const tb_node *n, int m) {
    const tb_grid *out = &net->grids[n->out];
    for (int i = 0; i < m; i++) {
        gate_rows(out, i, n->act, gradient_of(out, i), (long)out->w * out->cp);
        pass_rows(&net->grids[n->left], gradient_of(out, i), n->need_left, i);
        pass_rows(&net->grids[n->right], gradient_of(out, i), n->need_right, i);
    }
}

static void put_back(const tb_grid *in, const tb_grid *out, int first, int need, int m) {
    if (!need) return;
    for (int i = 0; i < m; i++) {
        float *to = gradient_of(in, i);
        const float *from = gradient_of(out, i) + first;
        for (long at = 0; at < (long)in->h * in->w; at++, to += in->cp, from += out->cp) {
            for (int c = 0; c < in->c; c++) to[c] = need == TB_MORE ? to[c] + from[c] : from[c];
            for (int c = in->c; c < in->cp; c++) to[c] = 0.0f;
        }
    }
}

/* A window's gradient goes to its first largest value. */
static void max_back(const tb_grid *in, const tb_grid *out, const tb_window *k, int need, int m) {
    if (!need) return;
    for (int i = 0; i < m; i++) {
        float *to = gradient_of(in, i);
        const float *from = gradient_of(out, i);
        if (need == TB_FIRST) memset(to, 0, sizeof(float) * (size_t)in->h * in->w * in->cp);
        for (int at = 0; at < out->h * out->w; at++, from += out->cp) {
            int y0 = at / out->w * k->stride - k->pad, x0 = at % out->w * k->stride - k->pad, r0, r1, c0, c1;
            const float *most_at = inner(out, i, at / out->w) + (long)(at % out->w) * out->cp;
            inside_of(y0, k->kh, 1, in->h, &r0, &r1);
            inside_of(x0, k->kw, 1, in->w, &c0, &c1);
            for (int c = 0; c < in->cp; c += VL) {
                vf most = load(most_at + c), gradient = load(from + c);
                vi open = (vi)(most == most);
                for (int r = r0; r < r1; r++) {
                    const float *row = inner(in, i, y0 + r) + (long)x0 * in->cp + c;
                    float *change = to + ((long)(y0 + r) * in->w + x0) * in->cp + c;
                    for (int j = c0; j < c1; j++) {
                        vi hit = (vi)(load(row + (long)j * in->cp) == most) & open;
                        float *here = change + (long)j * in->cp;
                        store(here, load(here) + choose(hit, gradient, all(0.0f)));
                        open &= ~hit;
                    }
                }
            }
        }
    }
}

static void mean_back(const tb_grid *in, const tb_grid *out, int need, int m) {
    if (!need) return;
    const float share = 1.0f / (float)(in->h * in->w);
    for (int i = 0; i < m; i++) {
        float *to = gradient_of(in, i);
        const float *from = gradient_of(out, i);
        for (long at = 0; at < (long)in->h * in->w; at++, to += in->cp) {
            for (int c = 0; c < in->cp; c += VL) {
                vf before = need == TB_MORE ? load(to + c) : all(0.0f);
                store(to + c, before + load(from + c) * share);
            }
        }
    }
}

static void conv_back(tb_net *net, tb_node *n, int still, int m) {
    const tb_grid *in = &net->grids[n->left], *out = &net->grids[n->out];
    int width = out->w + 2 * n->border, count = out->h * out->w, trains = n->adapter >= 0;
    long row = (long)width * out->cp;
    if (!trains && !n->need_left) return;
    memset(net->gated, 0, sizeof(float) * (size_t)((out->h + 2 * n->border) * row));
    if (trains) {
        memset(n->a_change, 0, sizeof(float) * (size_t)n->rank * n->t);
        memset(n->b_change, 0, sizeof(float) * (size_t)n->rank * out->cp);
    }
    for (int i = 0; i < m; i++) {
        const float *x = in->at + i * in->image;
        gate_rows(out, i, n->act, net->gated + n->border * row + (long)n->border * out->cp, row);
        if (trains) {
            const tb_places *p = &n->ahead;
            low_values(p->runs, p->n_runs, count, p->from, x, n->a, n->t, net->low, n->rank);
            add_change(&n->across, 1, count, n->spots, net->gated, net->low, n->rank, n->b_change, out->cp);
            if (!still) {
                low_values(&n->across, 1, count, n->spots, net->gated, n->b_slope, out->cp, net->high, n->rank);
                add_change(p->runs, p->n_runs, count, p->from, x, net->high, n->rank, n->a_change, n->t);
            }
        }
        for (int b = 0; n->need_left && b < n->n_behind; b++) {
            run_places(&n->behind[b], n->t / in->cp * out->cp, in->cp, net->gated, n->back, NULL, gradient_of(in, i),
                       n->need_left == TB_MORE, TB_PLAIN);
        }
    }
}

static void back_nodes(tb_net *net, int still, int m) {
    tb_grid *g = net->grids;
    for (int at = net->n_nodes - 1; at >= 0; at--) {
        tb_node *n = &net->nodes[at];
        tb_grid *in = &g[n->left], *out = &g[n->out];
        if (!out->gradient) continue;
        switch (n->kind) {
            case TB_NODE_CONV: conv_back(net, n, still, m); break;
            case TB_NODE_ADD: add_back(net, n, m); break;
            case TB_NODE_PUT: put_back(in, out, n->first, n->need_left, m); break;
            case TB_NODE_MAX: max_back(in, out, &n->window, n->need_left, m); break;
            default: mean_back(in, out, n->need_left, m); break;
        }
    }
}

#endif
