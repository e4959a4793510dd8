/* Nodes of a frozen trunk without weights: pooling, sums, joined channels, borders, pixels as numbers. */
#ifndef TB_POOL_H
#define TB_POOL_H

#include "conv.h"

/* Bytes (c, h, w) of an image to values 0..1. */
static void from_pixels(const tb_map *out, const uint8_t *image, float *y) {
    long place = (long)out->h * out->w;
    for (long at = 0; at < place; at++, y += out->cp) {
        for (int c = 0; c < out->cp; c++) y[c] = c < out->c ? (float)image[c * place + at] / 255.0f : 0.0f;
    }
}

/* y = x * scale + shift of each channel; a map of one channel is read by all of them. */
static void normalise(const tb_map *in, const tb_map *out, const float *scale, const float *shift, int m,
                      const float *x, float *y) {
    long pixels = (long)m * in->h * in->w;
    for (long at = 0; at < pixels; at++, x += in->cp, y += out->cp) {
        for (int c = 0; c < out->cp; c++) {
            y[c] = c < out->c ? x[in->c == 1 ? 0 : c] * scale[c] + shift[c] : 0.0f;
        }
    }
}

static void border(const tb_map *in, const tb_map *out, int top, int left, int m, const float *x, float *y) {
    memset(y, 0, sizeof(float) * (size_t)m * out->h * out->w * out->cp);
    size_t row_b = sizeof(float) * (size_t)in->w * in->cp;
    for (int i = 0; i < m; i++, y += (long)out->h * out->w * out->cp) {
        for (int r = 0; r < in->h; r++, x += (long)in->w * in->cp) {
            memcpy(y + ((long)(r + top) * out->w + left) * out->cp, x, row_b);
        }
    }
}

static void add_maps(const tb_map *map, int act, int m, const float *a, const float *b, float *y) {
    long count = (long)m * map->h * map->w * map->cp;
    for (long at = 0; at < count; at += VL) store(y + at, activated(load(a + at) + load(b + at), act));
}

/* The channels of a map among those of a larger one, from number `first` on; the last one leaves zeros behind it. */
static void put_channels(const tb_map *in, const tb_map *out, int first, int m, const float *x, float *y) {
    long pixels = (long)m * in->h * in->w;
    int end = first + in->c == out->c ? out->cp : first + in->c;
    for (long at = 0; at < pixels; at++, x += in->cp, y += out->cp) {
        memcpy(y + first, x, sizeof(float) * (size_t)in->c);
        for (int c = first + in->c; c < end; c++) y[c] = 0.0f;
    }
}

/* Largest values of windows; a NaN stays. */
static void max_pool(const tb_map *in, const tb_map *out, const tb_window *k, int m, const float *x, float *y) {
    long cp = in->cp;
    for (int i = 0; i < m; i++, x += (long)in->h * in->w * cp) {
        for (int at = 0; at < out->h * out->w; at++, y += cp) {
            int y0 = at / out->w * k->stride - k->pad, x0 = at % out->w * k->stride - k->pad, r0, r1, c0, c1;
            inside_of(y0, k->kh, 1, in->h, &r0, &r1);
            inside_of(x0, k->kw, 1, in->w, &c0, &c1);
            for (int c = 0; c < cp; c += VL) {
                vf most = all(-__builtin_inff());
                for (int r = r0; r < r1; r++) {
                    const float *row = x + ((long)(y0 + r) * in->w + x0) * cp + c;
                    for (int j = c0; j < c1; j++) {
                        vf value = load(row + j * cp);
                        most = choose((vi)(value > most) | (vi)(value != value), value, most);
                    }
                }
                store(y + c, most);
            }
        }
    }
}

/* Means over a grid of side x side parts, torch's bounds, as one row: channel by channel, the parts together. */
static void mean_pool(const tb_map *in, const tb_map *out, int side, int m, const float *x, float *y) {
    long cp = in->cp;
    for (int i = 0; i < m; i++, x += (long)in->h * in->w * cp, y += out->cp) {
        for (int part = 0; part < side * side; part++) {
            int py = part / side, px = part % side;
            int r0 = py * in->h / side, r1 = ((py + 1) * in->h + side - 1) / side;
            int c0 = px * in->w / side, c1 = ((px + 1) * in->w + side - 1) / side;
            float count = (float)((r1 - r0) * (c1 - c0));
            for (int c = 0; c < in->c; c += VL) {
                vf sum = all(0.0f);
                for (int r = r0; r < r1; r++) {
                    for (int j = c0; j < c1; j++) sum += load(x + ((long)r * in->w + j) * cp + c);
                }
                vf mean = sum / count;
                for (int j = 0; j < VL && c + j < in->c; j++) y[(c + j) * side * side + part] = mean[j];
            }
        }
        for (int c = out->c; c < out->cp; c++) y[c] = 0.0f;
    }
}

#endif
