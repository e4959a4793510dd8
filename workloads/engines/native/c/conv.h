/* Layers with weights of a frozen trunk: convolution, linear map, depthwise convolution, with BatchNorm folded in.
 *
 * A map lies pixel by pixel, its channels together and padded with zeros to a multiple of VL: a 1x1 convolution is a
 * product of pixels and weights as it lies there, a depthwise one runs over vectors of channels however small its map, and
 * a batch is only more pixels. Other convolutions gather the inputs of a block of outputs first (im2col), which costs
 * 1 / channels_out of the products. Every output is summed in the same order wherever it lies in a batch: the same image
 * gives the same bits.
 */
#ifndef TB_CONV_H
#define TB_CONV_H

#include "simd.h"

/* Outputs of a tile: TB_PIXELS by TB_COLS vectors of channels. A build with FMA has room for 6 x 2 of 16 registers. */
#if TB_REGISTERS == 32 || (defined(__AVX__) && defined(__FMA__))
#define TB_PIXELS 6
#else
#define TB_PIXELS 4
#endif
/* Floats of a block's inputs, so that they stay in a small core's second cache beside the weights; see block_of. */
#define TB_BLOCK 24576

enum { TB_PLAIN, TB_RELU, TB_RELU6 };

typedef struct {
    int h, w, c, cp; /* cp: c padded to a multiple of VL */
    long at;         /* floats of all values before it, for one sample */
} tb_map;

/* How a window moves over a map. */
typedef struct {
    int kh, kw, stride, pad, dilation;
} tb_window;

TB_INLINE vf activated(vf a, int act) {
    if (act == TB_PLAIN) return a;
    a = relu(a);
    if (act == TB_RELU6) a = choose((vi)(a > all(6.0f)), all(6.0f), a);
    return a;
}

/* weights ------------------------------------------------------------------------------------------------- */

/* Channels of a panel: the columns of a tile; the last one may have fewer. */
static int panel_of(int op, int at) { return op - at < TB_COLS * VL ? op - at : TB_COLS * VL; }

/* From torch's (c_out, c_in, kh, kw) to panels of output channels, in each kh kw c_in rows of them; times slope. */
static void pack_conv(float *to, const float *w, const float *slope, int c_out, int c_in, int taps) {
    int padded_out = (c_out + VL - 1) / VL * VL;
    for (int at = 0; at < padded_out; at += TB_COLS * VL) {
        int width = panel_of(padded_out, at);
        for (int tap = 0; tap < taps; tap++) {
            for (int c = 0; c < c_in; c++, to += width) {
                for (int j = 0; j < width; j++) {
                    int o = at + j;
                    to[j] = o < c_out ? slope[o] * w[((size_t)o * c_in + c) * taps + tap] : 0.0f;
                }
            }
        }
    }
}

/* From (c, 1, kh, kw) to kh kw rows of channels. */
static void pack_depthwise(float *to, const float *w, const float *slope, int c, int cp, int taps) {
    for (int tap = 0; tap < taps; tap++) {
        for (int j = 0; j < cp; j++) to[(size_t)tap * cp + j] = j < c ? slope[j] * w[(size_t)j * taps + tap] : 0.0f;
    }
}

/* convolution --------------------------------------------------------------------------------------------- */

/* Outputs of some pixels and a panel: y = act(bias + sum over t inputs). */
TB_INLINE void conv_tile(const int pixels, const int cols, int t, const float *x, long ldx, const float *w,
                         const float *bias, float *y, long ldy, int act) {
    vf sum[TB_PIXELS][TB_COLS];
    TB_UNROLL for (int v = 0; v < cols; v++) {
        vf start = load(bias + v * VL);
        TB_UNROLL for (int i = 0; i < pixels; i++) sum[i][v] = start;
    }
    for (int p = 0; p < t; p++, w += cols * VL) {
        vf part[TB_COLS];
        TB_UNROLL for (int v = 0; v < cols; v++) part[v] = load(w + v * VL);
        TB_UNROLL for (int i = 0; i < pixels; i++) {
            vf times = each(x[i * ldx + p]);
            TB_UNROLL for (int v = 0; v < cols; v++) sum[i][v] += times * part[v];
        }
    }
    TB_UNROLL for (int i = 0; i < pixels; i++) {
        TB_UNROLL for (int v = 0; v < cols; v++) store(y + i * ldy + v * VL, activated(sum[i][v], act));
    }
}

TB_INLINE void conv_panel(const int cols, int n, int t, const float *x, long ldx, const float *w, const float *bias,
                          float *y, long ldy, int act) {
    int i = 0;
    for (; i + TB_PIXELS <= n; i += TB_PIXELS) {
        conv_tile(TB_PIXELS, cols, t, x + i * ldx, ldx, w, bias, y + i * ldy, ldy, act);
    }
    for (; i + 2 <= n; i += 2) conv_tile(2, cols, t, x + i * ldx, ldx, w, bias, y + i * ldy, ldy, act);
    if (i < n) conv_tile(1, cols, t, x + i * ldx, ldx, w, bias, y + i * ldy, ldy, act);
}

/* n pixels of t inputs each, to all channels. */
static void conv_block(int n, int t, const float *x, long ldx, const float *w, const float *bias, float *y, int op,
                       int act) {
    for (int at = 0; at < op; at += TB_COLS * VL) {
        int width = panel_of(op, at);
        switch (width / VL) {
            case 4: conv_panel(TB_COLS < 4 ? TB_COLS : 4, n, t, x, ldx, w, bias + at, y + at, op, act); break;
            case 3: conv_panel(TB_COLS < 3 ? TB_COLS : 3, n, t, x, ldx, w, bias + at, y + at, op, act); break;
            case 2: conv_panel(TB_COLS < 2 ? TB_COLS : 2, n, t, x, ldx, w, bias + at, y + at, op, act); break;
            default: conv_panel(1, n, t, x, ldx, w, bias + at, y + at, op, act); break;
        }
        w += (size_t)t * width;
    }
}

TB_INLINE void copy_few(float *to, const float *from, int n) {
    for (int j = 0; j < n; j++) to[j] = from[j];
}

/* The inputs of n outputs from number `first` of a batch on, kh kw c floats each; zeros outside of the map. */
static void gather(const tb_map *in, const tb_map *out, const tb_window *k, const float *x, long first, int n,
                   float *to) {
    int whole = in->c == in->cp && k->dilation == 1;
    long place = (long)out->h * out->w;
    for (long at = first; at < first + n; at++) {
        const float *image = x + at / place * in->h * in->w * in->cp;
        int y0 = (int)(at % place) / out->w * k->stride - k->pad, x0 = (int)(at % place) % out->w * k->stride - k->pad;
        int inside = x0 >= 0 && x0 + k->kw <= in->w;
        for (int i = 0; i < k->kh; i++) {
            int row = y0 + i * k->dilation;
            const float *from = image + ((long)row * in->w + x0) * in->cp;
            if (row < 0 || row >= in->h) {
                memset(to, 0, sizeof(float) * (size_t)(k->kw * in->c));
                to += k->kw * in->c;
            } else if (whole && inside) {
                memcpy(to, from, sizeof(float) * (size_t)(k->kw * in->c));
                to += k->kw * in->c;
            } else {
                for (int j = 0; j < k->kw; j++, to += in->c) {
                    int column = x0 + j * k->dilation;
                    if (column < 0 || column >= in->w) {
                        for (int c = 0; c < in->c; c++) to[c] = 0.0f;
                    } else {
                        copy_few(to, from + (long)j * k->dilation * in->cp, in->c);
                    }
                }
            }
        }
    }
}

/* Pixels of a block, a multiple of a tile's. */
static int block_of(int t) {
    int pixels = TB_BLOCK / t / TB_PIXELS * TB_PIXELS;
    return pixels < TB_PIXELS ? TB_PIXELS : pixels;
}

static int is_pointwise(const tb_window *k) {
    return k->kh == 1 && k->kw == 1 && k->stride == 1 && k->pad == 0;
}

static void conv(const tb_map *in, const tb_map *out, const tb_window *k, const float *w, const float *bias, int act,
                 int m, const float *x, float *y, float *columns) {
    long pixels = (long)m * out->h * out->w;
    int t = k->kh * k->kw * in->c, block = block_of(t), direct = is_pointwise(k);
    for (long at = 0; at < pixels; at += block) {
        int n = pixels - at < block ? (int)(pixels - at) : block;
        if (!direct) gather(in, out, k, x, at, n, columns);
        const float *from = direct ? x + at * in->cp : columns;
        conv_block(n, t, from, direct ? in->cp : t, w, bias, y + at * out->cp, out->cp, act);
    }
}

/* depthwise ----------------------------------------------------------------------------------------------- */

/* n outputs side by side, for a vector of channels; taps rows r0..r1 and columns c0..c1 lie inside of the map. */
TB_INLINE void depth_tile(const int n, int r0, int r1, const int c0, const int c1, const tb_map *in, const tb_window *k,
                          const float *x, const float *w, long cp, vf bias, float *y, int act) {
    vf sum[4];
    TB_UNROLL for (int j = 0; j < n; j++) sum[j] = bias;
    long right = (long)k->dilation * cp, next = (long)k->stride * cp;
    for (int i = r0; i < r1; i++) {
        const float *row = x + (long)i * k->dilation * in->w * cp, *weight = w + (long)i * k->kw * cp;
        for (int c = c0; c < c1; c++) {
            vf times = load(weight + c * cp);
            TB_UNROLL for (int j = 0; j < n; j++) sum[j] += times * load(row + c * right + j * next);
        }
    }
    TB_UNROLL for (int j = 0; j < n; j++) store(y + j * cp, activated(sum[j], act));
}

/* Outputs first..last of a row; their taps' columns c0..c1 are the same. */
TB_INLINE void depth_run(int first, int last, int r0, int r1, const int c0, const int c1, const tb_map *in,
                         const tb_window *k, const float *x, const float *w, const float *bias, float *y, int act) {
    long cp = in->cp, next = (long)k->stride * cp;
    int at = first;
    for (; at + 4 <= last; at += 4) {
        for (int c = 0; c < cp; c += VL) {
            depth_tile(4, r0, r1, c0, c1, in, k, x + at * next + c, w + c, cp, load(bias + c), y + at * cp + c, act);
        }
    }
    for (; at < last; at++) {
        for (int c = 0; c < cp; c += VL) {
            depth_tile(1, r0, r1, c0, c1, in, k, x + at * next + c, w + c, cp, load(bias + c), y + at * cp + c, act);
        }
    }
}

/* Taps from `start` on, which may lie before 0, that are inside of a side. */
TB_INLINE void inside_of(int start, int count, int dilation, int side, int *from, int *to) {
    *from = 0, *to = count;
    while (*from < count && start + *from * dilation < 0) ++*from;
    while (*to > *from && start + (*to - 1) * dilation >= side) --*to;
}

static void depthwise(const tb_map *in, const tb_map *out, const tb_window *k, const float *w, const float *bias,
                      int act, int m, const float *x, float *y) {
    long cp = in->cp;
    int span = (k->kw - 1) * k->dilation, low = (k->pad + k->stride - 1) / k->stride;
    int high = in->w + k->pad - span <= 0 ? 0 : (in->w + k->pad - span - 1) / k->stride + 1; /* beyond the last whole one */
    if (low > out->w) low = out->w;
    if (high > out->w) high = out->w;
    if (high < low) high = low;
    for (int i = 0; i < m; i++, x += (long)in->h * in->w * cp) {
        for (int oy = 0; oy < out->h; oy++, y += out->w * cp) {
            int y0 = oy * k->stride - k->pad, r0, r1, c0, c1;
            inside_of(y0, k->kh, k->dilation, in->h, &r0, &r1);
            const float *row = x + ((long)y0 * in->w - k->pad) * cp;
            for (int ox = 0; ox < out->w; ox++) {
                if (ox == low && low < high) {
                    switch (k->kw) {
                        case 3: depth_run(low, high, r0, r1, 0, 3, in, k, row, w, bias, y, act); break;
                        case 5: depth_run(low, high, r0, r1, 0, 5, in, k, row, w, bias, y, act); break;
                        default: depth_run(low, high, r0, r1, 0, k->kw, in, k, row, w, bias, y, act); break;
                    }
                    ox = high - 1;
                    continue;
                }
                inside_of(ox * k->stride - k->pad, k->kw, k->dilation, in->w, &c0, &c1);
                depth_run(ox, ox + 1, r0, r1, c0, c1, in, k, row, w, bias, y, act);
            }
        }
    }
}

#endif
