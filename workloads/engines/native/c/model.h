/* State of one fine-tuning: layers, adapters, the skip-cache and the buffers of a batch. */
#ifndef TB_MODEL_H
#define TB_MODEL_H

#include <stddef.h>
#include <stdint.h>

/* Weights that train: count floats, and behind them the optimizer's state and what is kept of the gradient. */
typedef struct {
    float *at;
    long count, apart;
    int second; /* an adapter's second factor, whose rate may be another */
} tb_trained;

/* Of the whole fine-tuning; see tunebench/workloads/tasks/training.py. clip 0: not clipped. */
typedef struct {
    double clip, decay, second_rate, momentum, beta1, beta2, epsilon;
    int rule;              /* TB_STEP, TB_MOMENTUM, TB_ADAMW, TB_DECAY */
    int keeps;             /* gradients are kept: to be clipped, or to have decay added */
    int n_states;          /* values kept for a weight from step to step */
    double power1, power2; /* beta ^ steps so far */
} tb_training;

typedef struct {
    int n_in, n_out;       /* as in the model */
    int k, o;              /* the same, padded to a multiple of VL */
    int norm;              /* BatchNorm and ReLU follow */
    int train_w, train_b;
    float *w;              /* o x k */
    float *bias;           /* o */
    float *slope, *shift0; /* frozen BatchNorm: y = slope * (w x + bias) + shift0 */
    float *shift;          /* slope * bias + shift0 */
    int rank;              /* of all adapters that end here, each padded to a multiple of 4 */
    float *b;              /* rank x o: their second factors, transposed */
    float *u, *mid;        /* batch x rank: their middle values, and the gradients of those, both times scale */
    float *y, *gy;         /* batch x o: output, and gradient of the linear part's output */
    float *u_wide, *mid_wide, *gy_wide; /* the same as factors, see tb_spread */
    float **w_rows, **b_rows, **u_rows, **mid_rows, **y_rows, **gy_rows;
} tb_layer;

typedef struct {
    int start, end, rank;
    int at;       /* first column in the end layer's u and mid */
    float *a;     /* rank x k of the start layer */
    float **rows;
} tb_adapter;

typedef struct {
    int used;
    int n;        /* values of a sample */
    int direct;   /* rows are used where they lie: float32, and a multiple of VL long */
    void *data;
} tb_plane;

typedef struct {
    int64_t t_ns;
    int64_t phase;
} tb_event;

enum { TB_GATHER, TB_FILL, TB_FORWARD, TB_BACKWARD, TB_UPDATE };

typedef struct tb_session {
    int n_layers, n_adapters, batch;
    int lowest;            /* the lowest layer whose output needs a gradient */
    float scale;
    int still;             /* adapters' first factors do not train */
    tb_training training;
    tb_trained *trained;
    int n_trained;
    tb_layer *layers;
    tb_adapter *adapters;
    int n_rows, n_test_rows;
    float *x;              /* n_rows x k of the first layer */
    int32_t *label;        /* of the rows */
    float *staged;         /* batch x k of the first layer: inputs of an evaluation */
    float ***rows;         /* rows[l][i]: input of layer l of the batch's sample i; rows[n_layers]: logits */
    float ***sub;          /* the same for the samples that must be computed */
    int *missing;          /* their places in the batch */
    int fed;               /* the planes' values come from a trunk, not from layers */
    struct tb_trunk *trunk;
    struct tb_net *net;    /* instead of a trunk: a network whose layers carry adapters, of this rank */
    int rank;
    const uint8_t *images; /* n_rows of them, image_b bytes each; image, missing_image: the batch's */
    int image_b;
    const uint8_t **image, **missing_image;
    int *batch_slot;       /* where the batch's samples are in the cache, or will be; -1: nowhere */
    int32_t *batch_label;
    float *columns;        /* logits of four samples, by class */
    int caching, half, slots, used_slots;
    tb_plane *planes;      /* planes[l]: input of layer l; planes[n_layers]: the last layer's output */
    int32_t *slot;         /* of a row; -1: not kept */
    int64_t lookups, hits, fill_ns, recompute_ns;
    tb_event *events;
    int64_t n_events;
    void **blocks;         /* everything allocated */
    size_t n_blocks, room;
    int failed;
} tb_session;

#endif
