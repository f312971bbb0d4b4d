/* Counts the instructions that a guest executes, by class: a TCG plugin for QEMU's user mode, tried with 7.2.

   -plugin count.so,out=FILE    FILE: a line with the names of the classes, then, each time the guest calls
                                getppid(2), a line with what was executed so far in each of them.

   Every translated block adds its own numbers when it is executed; nothing is called back for it. The numbers are
   exact while the guest has one thread. aarch64: the classes below, told apart by the top-level tables of the Arm
   Architecture Reference Manual (DDI 0487, C4.1). Other guests: "total" alone.
   No header of QEMU is needed: what is used of its plugin interface (version 1) is declared here. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
struct qemu_plugin_insn;
typedef struct {
    const char *target_name;
    struct { int min, cur; } version;
} qemu_info_t; /* has more fields, which are not used */

extern void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t, void (*)(qemu_plugin_id_t, struct qemu_plugin_tb *));
extern size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *);
extern struct qemu_plugin_insn *qemu_plugin_tb_get_insn(const struct qemu_plugin_tb *, size_t);
extern const void *qemu_plugin_insn_data(const struct qemu_plugin_insn *);
extern void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *, int, void *, uint64_t);
extern void qemu_plugin_register_vcpu_syscall_cb(
    qemu_plugin_id_t, void (*)(qemu_plugin_id_t, unsigned, int64_t, uint64_t, uint64_t, uint64_t, uint64_t, uint64_t,
                               uint64_t, uint64_t, uint64_t));

__attribute__((visibility("default"))) int qemu_plugin_version = 1;

enum { ALU, BRANCH, LOAD, STORE, VECTOR_LOAD, VECTOR_STORE, FMA, INT_MAC, DOT, VECTOR, CLASSES };
static const char *const NAMES[CLASSES] = {
    "alu", "branch", "load", "store", "vector_load", "vector_store", "fma", "int_mac", "dot", "vector",
};
enum { ADD_U64 = 0, GETPPID_AARCH64 = 173, GETPPID_ARM = 64 };

static uint64_t counts[CLASSES]; /* of other guests than aarch64: counts[0] is the total */
static int by_class;
static FILE *out;

/* Loads and stores: the general registers' or the vector registers' (bit 26). */
static int memory_class(uint32_t insn)
{
    int vector = insn >> 26 & 1;
    unsigned opc = insn >> 22 & 3;
    int load;
    if ((insn & 0x3b000000) == 0x18000000) /* literal */
        load = 1;
    else if ((insn & 0x38000000) == 0x38000000) /* one register */
        load = vector ? opc & 1 : opc != 0;
    else /* pairs, exclusive, vector structures */
        load = opc & 1;
    return vector ? (load ? VECTOR_LOAD : VECTOR_STORE) : (load ? LOAD : STORE);
}

/* Scalar floating point and Advanced SIMD. FMA: floating-point multiply, with or without add; INT_MAC: its integer
   kin; DOT: the products of 8-bit quadruples and matrices. */
static int vector_class(uint32_t insn)
{
    int u = insn >> 29 & 1;
    unsigned three_same = insn >> 11 & 31, wide = insn >> 12 & 15;
    if ((insn & 0x5f000000) == 0x1f000000) /* scalar FMADD and its kin */
        return FMA;
    if ((insn & 0x5f000000) == 0x1e000000) /* scalar: of the two-source ones FMUL and FNMUL, all others */
        return (insn & 0x00207c00) == 0x00200800 ? FMA : VECTOR;
    if ((insn & 0x9f60c400) == 0x0e400400) /* three same, half precision: FMLA, FMLS; FMUL */
        return (three_same == 1 && !u) || (three_same == 3 && u) ? FMA : VECTOR;
    if ((insn & 0x9f208400) == 0x0e008400) /* three same, extra: SDOT, UDOT, USDOT, SMMLA, ... */
        return three_same == 18 || three_same == 19 || three_same == 20 || three_same == 21 ? DOT : VECTOR;
    if ((insn & 0x8f200400) == 0x0e200400) { /* three same, vectors and scalars */
        if ((three_same == 25 && !u) || (three_same == 27 && u)) /* FMLA, FMLS; FMUL */
            return FMA;
        return three_same == 18 || (three_same == 19 && !u) || three_same == 22 ? INT_MAC : VECTOR; /* MLA, MUL, SQDMULH */
    }
    if ((insn & 0x8f200c00) == 0x0e200000) /* three different: SMLAL, SQDMLAL, SMLSL, SQDMLSL, SMULL, SQDMULL */
        return wide >= 8 && wide <= 13 ? INT_MAC : VECTOR;
    if ((insn & 0x8f000400) == 0x0f000000) { /* by element */
        if (wide == 14 || (wide == 15 && !u)) /* SDOT, UDOT; USDOT, SUDOT */
            return DOT;
        if (wide == 1 || wide == 5 || wide == 9) /* FMLA, FMLS, FMUL */
            return FMA;
        return INT_MAC; /* MLA, MLS, MUL, SMLAL, SMULL, SQDMULH, ... */
    }
    return VECTOR;
}

static int classify(uint32_t insn)
{
    if ((insn & 0x0a000000) == 0x08000000)
        return memory_class(insn);
    if ((insn & 0x0e000000) == 0x0e000000)
        return vector_class(insn);
    return (insn & 0x1c000000) == 0x14000000 ? BRANCH : ALU; /* branches, exceptions and system */
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    uint64_t own[CLASSES] = {0};
    size_t n = qemu_plugin_tb_n_insns(tb);
    (void)id;
    for (size_t i = 0; i < n; i++) {
        uint32_t insn = 0;
        if (by_class)
            memcpy(&insn, qemu_plugin_insn_data(qemu_plugin_tb_get_insn(tb, i)), sizeof insn);
        own[by_class ? classify(insn) : 0]++;
    }
    for (int class = 0; class < CLASSES; class++)
        if (own[class])
            qemu_plugin_register_vcpu_tb_exec_inline(tb, ADD_U64, &counts[class], own[class]);
}

static void called(qemu_plugin_id_t id, unsigned cpu, int64_t number, uint64_t a, uint64_t b, uint64_t c, uint64_t d,
                   uint64_t e, uint64_t f, uint64_t g, uint64_t h)
{
    (void)id, (void)cpu, (void)a, (void)b, (void)c, (void)d, (void)e, (void)f, (void)g, (void)h;
    if (number != (by_class ? GETPPID_AARCH64 : GETPPID_ARM))
        return;
    for (int class = 0; class < (by_class ? CLASSES : 1); class++)
        fprintf(out, "%s%" PRIu64, class ? " " : "", counts[class]);
    fputc('\n', out);
    fflush(out);
}

__attribute__((visibility("default"))) int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc,
                                                               char **argv)
{
    if (argc != 1 || strncmp(argv[0], "out=", 4) || !(out = fopen(argv[0] + 4, "w"))) {
        fprintf(stderr, "count: out=FILE names a file that can be written\n");
        return -1;
    }
    by_class = !strcmp(info->target_name, "aarch64");
    fputs(by_class ? NAMES[0] : "total", out);
    for (int class = 1; by_class && class < CLASSES; class++)
        fprintf(out, " %s", NAMES[class]);
    fputc('\n', out);
    fflush(out);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_vcpu_syscall_cb(id, called);
    return 0;
}
