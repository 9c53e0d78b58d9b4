/* SPDX-License-Identifier: BSD-2-Clause-Patent */
#define _GNU_SOURCE
#include "report.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "decode.h"

#define CR4_LA57 (UINT64_C(1) << 12)

static FILE *report_stream; /* NULL = stderr */

static FILE *report_out(void)
{
    return report_stream != NULL ? report_stream : stderr;
}

void report_use_stream(FILE *stream)
{
    report_stream = stream;
}

bool report_colour(FILE *stream)
{
    const char *no_colour = getenv("NO_COLOR");
    if (no_colour != NULL && no_colour[0] != '\0')
        return false;
    const char *term = getenv("TERM");
    if (term == NULL || strcmp(term, "dumb") == 0)
        return false;
    return isatty(fileno(stream)) == 1;
}

static void copy_cut(char *to, size_t capacity, const char *from)
{
    snprintf(to, capacity, "%s", from != NULL ? from : "");
}

/* What to do when nothing better is known than how the tool is going to end. */
static const char *exit_code_advice(int exit_code)
{
    switch (exit_code) {
    case EXIT_CODE_REFUSED:
        return "check what was given to resumectl against its --help";
    case EXIT_CODE_USAGE:
        return "see --help";
    case EXIT_CODE_DIFFERENT:
        return "the snapshot is as it was; --json writes down what differs";
    case EXIT_CODE_TIMEOUT:
        return "try again when the machine is less busy";
    default:
        return "see what was printed above, and try again";
    }
}

static const char *errno_advice(int error)
{
    switch (error) {
    case ENOSPC:
    case EDQUOT:
        return "free some space there, or choose another directory";
    case EFBIG:
        return "raise the file size limit (ulimit -f), or choose another file system";
    case EMFILE:
    case ENFILE:
        return "raise the limit of open files (ulimit -n)";
    case ENOENT:
    case ENOTDIR:
        return "check the path: each directory on the way must be there";
    case EACCES:
    case EPERM:
        return "give this user access to it, or choose another path";
    case EEXIST:
    case ENOTEMPTY:
        return "remove it, or choose another name";
    case EISDIR:
        return "name a file, not a directory";
    case EROFS:
        return "choose a directory that can be written to";
    case ENAMETOOLONG:
        return "use a shorter path";
    case ELOOP:
        return "check the path's symbolic links";
    case EOPNOTSUPP:
        return "choose another file system; TMPDIR says where temporary files go";
    case ENOMEM:
        return "free some memory, or raise the limit (ulimit -v)";
    case EAGAIN:
        return "raise the limit of processes (ulimit -u), or try again";
    case EIO:
        return "check the disk: the kernel's log may say more";
    case EPIPE:
    case ECONNRESET:
        return "the other side is gone: find out why it ended, and try again";
    default:
        return NULL;
    }
}

static const char *resume_err_advice(int error)
{
    switch (error) {
    case RESUME_ETRUNC:
    case RESUME_ECRC:
    case RESUME_ELENGTH:
    case RESUME_ERESERVED:
    case RESUME_EDUPLICATE:
    case RESUME_EMISSING:
    case RESUME_EORDER:
        return "the file is damaged: take the snapshot again";
    case RESUME_EMAGIC:
        return "name what resumectl snapshot made; if this is it, take the snapshot again";
    case RESUME_EVERSION:
    case RESUME_EMANDATORY:
        return "use the version of resumectl that took the snapshot, or a later one";
    case RESUME_ECANON:
    case RESUME_EREGISTER:
    case RESUME_ECONSISTENT:
        return "no CPU can hold this state: take the snapshot again";
    case RESUME_EUNSUPPORTED:
        return "this is outside what this version resumes: snapshot a guest without it";
    case RESUME_ECPU:
        return "give the target the CPU model of the source (-cpu)";
    case RESUME_EUNMAPPED:
    case RESUME_EUNREACHABLE:
        return "take the snapshot again, a moment later";
    case RESUME_ENOHOME:
        return "the guest's kernel needs executable padding: stock Linux has it";
    default:
        return "report this as a defect of resumectl";
    }
}

static int fail_v(struct report_failure *failure, int exit_code, const char *what,
                  const char *where, const char *advice, const char *format, va_list args)
    __attribute__((format(printf, 6, 0)));

static int fail_v(struct report_failure *failure, int exit_code, const char *what,
                  const char *where, const char *advice, const char *format, va_list args)
{
    /* The arguments may point into the failure that is being rewritten. */
    struct report_failure filled = {.exit_code = exit_code};
    bool has_where = where != NULL && where[0] != '\0';
    bool has_advice = advice != NULL && advice[0] != '\0';
    copy_cut(filled.what, sizeof(filled.what), what);
    copy_cut(filled.where, sizeof(filled.where), has_where ? where : "this process");
    copy_cut(filled.advice, sizeof(filled.advice),
             has_advice ? advice : exit_code_advice(exit_code));
    if (vsnprintf(filled.why, sizeof(filled.why), format, args) < 0)
        filled.why[0] = '\0';
    *failure = filled;
    return -exit_code;
}

int report_fail(struct report_failure *failure, int exit_code, const char *what, const char *where,
                const char *advice, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int result = fail_v(failure, exit_code, what, where, advice, format, args);
    va_end(args);
    return result;
}

int report_fail_errno(struct report_failure *failure, int error, const char *what,
                      const char *where)
{
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, what, where, errno_advice(error), "%s",
                       error == ENOSPC ? "the disk is full" : strerror(error));
}

int report_fail_memory(struct report_failure *failure, const char *what)
{
    return report_fail(failure, EXIT_CODE_ENVIRONMENT, what, "", errno_advice(ENOMEM),
                       "out of memory");
}

/* Names the bits of CR4 and EFER that are outside what this version resumes: the expected value
 * is the mask of those that may be set. */
static void explain_bits(int error, const struct resume_diag *diag, char *out, size_t capacity,
                         const char **advice)
{
    char names[192];
    bool cr4 = strcmp(diag->field, "cr4") == 0;
    uint64_t refused = diag->found & ~diag->expected;
    if (error != RESUME_EUNSUPPORTED || refused == 0 || (!cr4 && strcmp(diag->field, "efer") != 0))
        return;
    decode_bits(cr4 ? DECODE_CR4 : DECODE_EFER, refused, names, sizeof(names));
    if (cr4 && (refused & CR4_LA57) != 0) {
        snprintf(out, capacity, "; the guest uses 5-level paging: CR4.LA57 is set");
        *advice = "this version resumes guests with 4-level paging: start the source with "
                  "-cpu MODEL,la57=off, or Linux with no5lvl on its command line";
    } else {
        snprintf(out, capacity, "; set, but not resumed by this version: %s %s",
                 cr4 ? "CR4" : "EFER", names);
    }
}

int report_fail_diag(struct report_failure *failure, int error, const struct resume_diag *diag,
                     const char *what, const char *where, const char *advice)
{
    if (advice == NULL || advice[0] == '\0')
        advice = resume_err_advice(error);
    if (diag == NULL || diag->where == NULL || diag->field == NULL)
        return report_fail(failure, EXIT_CODE_REFUSED, what, where, advice, "%s",
                           resume_strerror(error));
    char vcpu[32] = "";
    if (diag->vcpu != RESUME_NO_VCPU)
        snprintf(vcpu, sizeof(vcpu), "vCPU %" PRIu32 ", ", diag->vcpu);
    char bits[256] = "";
    explain_bits(error, diag, bits, sizeof(bits), &advice);
    return report_fail(failure, EXIT_CODE_REFUSED, what, where, advice,
                       "%s: %s%s, %s at 0x%" PRIx64 ": found 0x%" PRIx64 ", expected 0x%" PRIx64
                       "%s",
                       resume_strerror(error), vcpu, diag->where, diag->field, diag->offset,
                       diag->found, diag->expected, bits);
}

/* Texts come from files and sockets that are not trusted: no control characters reach the terminal.
 */
static void put_clean(FILE *out, const char *text, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        unsigned char c = (unsigned char)text[i];
        fputc(c == '\t' ? ' ' : (c < 0x20 || c == 0x7f) ? '?' : c, out);
    }
}

char *report_format(const struct report_failure *failure, char *buffer, size_t capacity)
{
    snprintf(buffer, capacity, "resumectl: %s: %s: %s (%s)", failure->what, failure->where,
             failure->why, failure->advice);
    return buffer;
}

int report_print(const struct report_failure *failure)
{
    char text[sizeof(struct report_failure) + 64];
    FILE *out = report_out();
    bool colour = report_colour(out);
    if (failure->exit_code == EXIT_CODE_OK) {
        fputs("resumectl: finish: this process: failed without saying why (report this as a "
              "defect of resumectl)\n",
              out);
        return EXIT_CODE_ENVIRONMENT;
    }
    report_format(failure, text, sizeof(text));
    if (colour)
        fputs("\033[1;31m", out);
    put_clean(out, text, strlen(text));
    fputs(colour ? "\033[0m\n" : "\n", out);
    fflush(out);
    return failure->exit_code;
}

void report_error(int exit_code, const char *what, const char *where, const char *advice,
                  const char *format, ...)
{
    struct report_failure failure;
    va_list args;
    va_start(args, format);
    fail_v(&failure, exit_code, what, where, advice, format, args);
    va_end(args);
    report_print(&failure);
}

void report_warning(const char *what, const char *format, ...)
{
    char why[1024];
    FILE *out = report_out();
    bool colour = report_colour(out);
    va_list args;
    va_start(args, format);
    if (vsnprintf(why, sizeof(why), format, args) < 0)
        why[0] = '\0';
    va_end(args);
    fprintf(out, "%sresumectl: warning: ", colour ? "\033[1;33m" : "");
    put_clean(out, what, strlen(what));
    fputs(": ", out);
    put_clean(out, why, strlen(why));
    fputs(colour ? "\033[0m\n" : "\n", out);
    fflush(out);
}

void report_note(const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    if (vsnprintf(text, sizeof(text), format, args) < 0)
        text[0] = '\0';
    va_end(args);
    FILE *out = report_out();
    fputs("resumectl: ", out);
    put_clean(out, text, strlen(text));
    fputc('\n', out);
    fflush(out);
}

#define LOG_TAIL_MAX 65536

/* Reads at most the last LOG_TAIL_MAX bytes. Returns the number read, 0 on any trouble. */
static size_t read_tail(const char *path, char *buffer)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return 0;
    struct stat status;
    size_t length = 0;
    if (fstat(fd, &status) == 0 && S_ISREG(status.st_mode)) {
        off_t start = status.st_size > LOG_TAIL_MAX ? status.st_size - LOG_TAIL_MAX : 0;
        while (length < LOG_TAIL_MAX) {
            ssize_t got = pread(fd, buffer + length, LOG_TAIL_MAX - length, start + (off_t)length);
            if (got <= 0)
                break;
            length += (size_t)got;
        }
    }
    close(fd);
    return length;
}

void report_log_tail(const char *title, const char *path, unsigned lines)
{
    char *buffer = malloc(LOG_TAIL_MAX);
    if (buffer == NULL)
        return;
    size_t length = read_tail(path, buffer);
    while (length > 0 && (buffer[length - 1] == '\n' || buffer[length - 1] == '\r'))
        length--;
    size_t start = length;
    while (start > 0) {
        if (buffer[start - 1] == '\n' && --lines == 0)
            break;
        start--;
    }
    FILE *out = report_out();
    if (length > 0) {
        /* A file without a name is of no use to the user. */
        if (strncmp(path, "/proc/self/fd/", 14) == 0)
            fprintf(out, "--- %s:\n", title);
        else
            fprintf(out, "--- %s (%s):\n", title, path);
    }
    while (start < length) {
        const char *line = buffer + start;
        const char *end = memchr(line, '\n', length - start);
        size_t line_length = end != NULL ? (size_t)(end - line) : length - start;
        size_t shown = line_length;
        if (shown > 0 && line[shown - 1] == '\r')
            shown--;
        fputs("    ", out);
        put_clean(out, line, shown);
        fputc('\n', out);
        start += line_length + 1;
    }
    fflush(out);
    free(buffer);
}
