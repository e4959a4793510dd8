/* The two kernels that every method uses, for base weights and adapters alike.
 *
 *   tb_dot    Y[i][o] = sum_k X[i][k] W[o][k]              forward; gradients of a low-rank path's middle
 *   tb_outer  C[i][k] op= sum_p G[i][p] X[p][k], summed    gradients of inputs; updates of weights (with
 *             over terms                                   G transposed by its strides); low-rank outputs
 *
 * A tile keeps its sums in registers over the whole inner loop: 4 rows of W by TB_ROWS samples, or 4 rows of C
 * by TB_COLS vectors. Rows are reached through pointers, so that samples are gathered in place.
 */
#ifndef TB_TILES_H
#define TB_TILES_H

#include "rules.h"
#include "simd.h"

/* A case of a remainder that cannot occur must still fit the tile. */
#define AT_MOST(n, most) ((n) < (most) ? (n) : (most))

TB_INLINE void dot_tile(const int rows, int k, const float *w, int ldw, const float *const *x,
                        float *const *y, int at) {
    vf sum[TB_ROWS][4];
    const float *row[TB_ROWS];
    TB_UNROLL for (int i = 0; i < rows; i++) {
        row[i] = x[i];
        TB_UNROLL for (int o = 0; o < 4; o++) sum[i][o] = all(0.0f);
    }
    const float *w0 = w, *w1 = w + ldw, *w2 = w + 2 * (long)ldw, *w3 = w + 3 * (long)ldw;
    TB_UNROLL_FEW(TB_FEW_DOT) for (int c = 0; c < k; c += VL) {
        vf part[TB_ROWS];
        TB_UNROLL for (int i = 0; i < rows; i++) part[i] = load(row[i] + c);
        vf weight = load(w0 + c);
        TB_UNROLL for (int i = 0; i < rows; i++) sum[i][0] += weight * part[i];
        weight = load(w1 + c);
        TB_UNROLL for (int i = 0; i < rows; i++) sum[i][1] += weight * part[i];
        weight = load(w2 + c);
        TB_UNROLL for (int i = 0; i < rows; i++) sum[i][2] += weight * part[i];
        weight = load(w3 + c);
        TB_UNROLL for (int i = 0; i < rows; i++) sum[i][3] += weight * part[i];
    }
    TB_UNROLL for (int i = 0; i < rows; i++) {
        *(v4f *)(y[i] + at) = sums_of(sum[i][0], sum[i][1], sum[i][2], sum[i][3]);
    }
}

/* Y[i][at + o] for m samples and n_out rows of W (n_out a multiple of 4, k of VL). */
static void tb_dot(int m, int n_out, int k, const float *w, int ldw, const float *const *x, float *const *y,
                   int at) {
    for (int o = 0; o < n_out; o += 4) {
        const float *block = w + (long)o * ldw;
        int i = 0;
        for (; i + TB_ROWS <= m; i += TB_ROWS) dot_tile(TB_ROWS, k, block, ldw, x + i, y + i, at + o);
        switch (m - i < TB_ROWS ? m - i : 0) {
            case 5: dot_tile(AT_MOST(5, TB_ROWS), k, block, ldw, x + i, y + i, at + o); break;
            case 4: dot_tile(AT_MOST(4, TB_ROWS), k, block, ldw, x + i, y + i, at + o); break;
            case 3: dot_tile(AT_MOST(3, TB_ROWS), k, block, ldw, x + i, y + i, at + o); break;
            case 2: dot_tile(AT_MOST(2, TB_ROWS), k, block, ldw, x + i, y + i, at + o); break;
            case 1: dot_tile(1, k, block, ldw, x + i, y + i, at + o); break;
            default: break;
        }
    }
}

/* One term of a sum of products: G[i][p] is at g + i * g_i + p * g_p, the strides in floats (see term_of). */
typedef struct {
    const float *g;
    long g_i, g_p;
    const float *const *x;
    int n;
} tb_term;

/* Factors from g on, with strides in factors, times n rows of x. */
TB_INLINE tb_term term_of(const float *g, int g_i, int g_p, float *const *x, int n) {
    tb_term made = {g, (long)g_i * TB_UNIT, (long)g_p * TB_UNIT, (const float *const *)x, n};
    return made;
}

/* Terms of one sum: a layer has its weights and at most an adapter to each layer above. */
#define TB_MAX_TERMS 34

/* What happens to the sums: TB_ADD C += sum; TB_GATE C = sum * slope where gate > 0, else 0 (through ReLU and a frozen
 * BatchNorm of that slope); else C are weights that move by their rule. */
typedef struct {
    const tb_rule *rule;
    const float *const *gate;
    const float *slope;
} tb_finish;

TB_INLINE void outer_tile(const int rows, const int cols, const int what, const tb_term *terms, int n_terms,
                          int i0, int at, float *const *c, const tb_finish *finish) {
    vf sum[4][TB_COLS];
    TB_UNROLL for (int i = 0; i < rows; i++) {
        TB_UNROLL for (int v = 0; v < cols; v++) sum[i][v] = all(0.0f);
    }
    for (int t = 0; t < n_terms; t++) {
        const float *const *x = terms[t].x;
        const long g_i = terms[t].g_i, g_p = terms[t].g_p;
        const float *g = terms[t].g + i0 * g_i;
        TB_UNROLL_FEW(TB_FEW_OUTER) for (int n = terms[t].n; n > 0; n--) {
            const float *row = *x++ + at;
            vf part[TB_COLS];
            TB_UNROLL for (int v = 0; v < cols; v++) part[v] = load(row + v * VL);
            TB_UNROLL for (int i = 0; i < rows; i++) {
                vf times = factor(g + i * g_i);
                TB_UNROLL for (int v = 0; v < cols; v++) sum[i][v] += times * part[v];
            }
            g += g_p;
        }
    }
    TB_UNROLL for (int i = 0; i < rows; i++) {
        TB_UNROLL for (int v = 0; v < cols; v++) {
            float *to = c[i0 + i] + at + v * VL;
            if (what == TB_ADD) {
                store(to, load(to) + sum[i][v]);
            } else if (what != TB_GATE) {
                move(what, to, sum[i][v], finish->rule);
            } else {
                vi open = (vi)(load(finish->gate[i0 + i] + at + v * VL) > all(0.0f));
                store(to, choose(open, sum[i][v] * load(finish->slope + at + v * VL), all(0.0f)));
            }
        }
    }
}

TB_INLINE void outer_column(const int cols, const int what, int m, const tb_term *terms, int n_terms, int at,
                            float *const *c, const tb_finish *finish) {
    int i = 0;
    for (; i + 4 <= m; i += 4) outer_tile(4, cols, what, terms, n_terms, i, at, c, finish);
    switch (m - i) {
        case 3: outer_tile(3, cols, what, terms, n_terms, i, at, c, finish); break;
        case 2: outer_tile(2, cols, what, terms, n_terms, i, at, c, finish); break;
        case 1: outer_tile(1, cols, what, terms, n_terms, i, at, c, finish); break;
        default: break;
    }
}

/* m rows of C, n columns (a multiple of VL). */
TB_INLINE void outer(const int what, int m, int n, const tb_term *terms, int n_terms, float *const *c,
                     const tb_finish *finish) {
    int at = 0;
    for (; at + TB_COLS * VL <= n; at += TB_COLS * VL) {
        outer_column(TB_COLS, what, m, terms, n_terms, at, c, finish);
    }
    switch ((n - at) / VL) {
        case 5: outer_column(AT_MOST(5, TB_COLS), what, m, terms, n_terms, at, c, finish); break;
        case 4: outer_column(AT_MOST(4, TB_COLS), what, m, terms, n_terms, at, c, finish); break;
        case 3: outer_column(AT_MOST(3, TB_COLS), what, m, terms, n_terms, at, c, finish); break;
        case 2: outer_column(AT_MOST(2, TB_COLS), what, m, terms, n_terms, at, c, finish); break;
        case 1: outer_column(1, what, m, terms, n_terms, at, c, finish); break;
        default: break;
    }
}

/* The rule is copied, so that its numbers stand in registers: they may not change by what is stored. */
TB_INLINE void outer_move(const int what, int m, int n, const tb_term *by, float *const *c, const tb_rule *rule) {
    const tb_rule own = *rule;
    tb_finish finish = {&own, NULL, NULL};
    outer(what, m, n, by, 1, c, &finish);
}

static void outer_step(int m, int n, const tb_term *by, float *const *c, const tb_rule *rule) {
    outer_move(TB_STEP, m, n, by, c, rule);
}

static void outer_momentum(int m, int n, const tb_term *by, float *const *c, const tb_rule *rule) {
    outer_move(TB_MOMENTUM, m, n, by, c, rule);
}

static void outer_adamw(int m, int n, const tb_term *by, float *const *c, const tb_rule *rule) {
    outer_move(TB_ADAMW, m, n, by, c, rule);
}

static void outer_decay(int m, int n, const tb_term *by, float *const *c, const tb_rule *rule) {
    outer_move(TB_DECAY, m, n, by, c, rule);
}

static void outer_keep(int m, int n, const tb_term *by, float *const *c, const tb_rule *rule) {
    outer_move(TB_KEEP, m, n, by, c, rule);
}

static void outer_add(int m, int n, const tb_term *by, float *const *c) {
    tb_finish finish = {NULL, NULL, NULL};
    outer(TB_ADD, m, n, by, 1, c, &finish);
}

static void outer_gate(int m, int n, const tb_term *terms, int n_terms, float *const *c,
                       const float *const *gate, const float *slope) {
    tb_finish finish = {NULL, gate, slope};
    outer(TB_GATE, m, n, terms, n_terms, c, &finish);
}

#endif
