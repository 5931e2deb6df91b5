/* See cert.h. Keys are of the curve P-256: made in a millisecond. The directory goes when the process that made it exits. */
#include "cert.h"

#include <arpa/inet.h>
#include <ftw.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

bool cert_tls(void)
{
    const char *wanted = getenv("SSE_TEST_TLS");
    return wanted && strcmp(wanted, "1") == 0;
}

static char directory[64];
static pid_t owner;

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    remove(path);
    return 0;
}

static void remove_directory(void)
{
    if (owner == getpid())
        nftw(directory, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

static void must(bool ok)
{
    if (!ok) {
        fprintf(stderr, "cannot make a certificate\n");
        abort();
    }
}

static void make_directory(void)
{
    if (owner == getpid())
        return;
    strcpy(directory, "/tmp/sse-cert-XXXXXX");
    must(mkdtemp(directory) != NULL);
    owner = getpid();
    atexit(remove_directory);
}

const char *cert_path(const char *name, const char *suffix)
{
    static _Thread_local char ring[8][256];
    static _Thread_local unsigned at;
    char *out = ring[at++ % 8];
    snprintf(out, sizeof ring[0], "%s/%s.%s", directory, name, suffix);
    return out;
}

/* ---- files ---- */

static gnutls_datum_t read_file(const char *path)
{
    gnutls_datum_t data;
    must(gnutls_load_file(path, &data) == 0);
    return data;
}

static void write_file(const char *path, const gnutls_datum_t *data)
{
    FILE *file = fopen(path, "we");
    must(file && fwrite(data->data, 1, data->size, file) == data->size && fclose(file) == 0);
}

static gnutls_x509_privkey_t load_key(const char *name)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_datum_t pem = read_file(cert_path(name, "key"));
    must(gnutls_x509_privkey_init(&key) == 0 &&
         gnutls_x509_privkey_import(key, &pem, GNUTLS_X509_FMT_PEM) == 0);
    gnutls_free(pem.data);
    return key;
}

static gnutls_x509_crt_t load_certificate(const char *name)
{
    gnutls_x509_crt_t certificate = NULL;
    gnutls_datum_t pem = read_file(cert_path(name, "crt"));
    must(gnutls_x509_crt_init(&certificate) == 0 &&
         gnutls_x509_crt_import(certificate, &pem, GNUTLS_X509_FMT_PEM) == 0);
    gnutls_free(pem.data);
    return certificate;
}

/* ---- making ---- */

static void add_names(gnutls_x509_crt_t certificate, const cert_spec *spec)
{
    unsigned char ip[4];
    if (spec->dns)
        must(gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_DNSNAME, spec->dns,
                                                  (unsigned)strlen(spec->dns),
                                                  GNUTLS_FSAN_APPEND) == 0);
    if (spec->ip)
        must(inet_pton(AF_INET, spec->ip, ip) == 1 &&
             gnutls_x509_crt_set_subject_alt_name(certificate, GNUTLS_SAN_IPADDRESS, ip, sizeof ip,
                                                  GNUTLS_FSAN_APPEND) == 0);
}

static void describe(gnutls_x509_crt_t certificate, const char *name, const cert_spec *spec)
{
    static unsigned char serial;
    time_t now = time(NULL);
    unsigned usage =
        GNUTLS_KEY_DIGITAL_SIGNATURE | (spec->authority ? GNUTLS_KEY_KEY_CERT_SIGN : 0);
    unsigned char number[9] = {1};
    memcpy(number + 1, &now, 7);
    number[8] = ++serial;
    must(gnutls_x509_crt_set_version(certificate, 3) == 0 &&
         gnutls_x509_crt_set_serial(certificate, number, sizeof number) == 0 &&
         gnutls_x509_crt_set_activation_time(certificate, now - 7200) == 0 &&
         gnutls_x509_crt_set_expiration_time(certificate, now + (spec->expired ? -3600 : 3600)) ==
             0 &&
         gnutls_x509_crt_set_dn_by_oid(certificate, GNUTLS_OID_X520_COMMON_NAME, 0, name,
                                       (unsigned)strlen(name)) == 0 &&
         gnutls_x509_crt_set_basic_constraints(certificate, spec->authority, -1) == 0 &&
         gnutls_x509_crt_set_key_usage(certificate, usage) == 0);
    add_names(certificate, spec);
}

void cert_make(const char *name, const cert_spec *spec)
{
    gnutls_x509_privkey_t key = NULL;
    gnutls_x509_crt_t certificate = NULL;
    gnutls_datum_t pem;
    make_directory();
    must(gnutls_x509_privkey_init(&key) == 0 &&
         gnutls_x509_privkey_generate(key, GNUTLS_PK_ECDSA,
                                      GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0) == 0 &&
         gnutls_x509_crt_init(&certificate) == 0 && gnutls_x509_crt_set_key(certificate, key) == 0);
    describe(certificate, name, spec);
    gnutls_x509_crt_t by = spec->issuer ? load_certificate(spec->issuer) : certificate;
    gnutls_x509_privkey_t with = spec->issuer ? load_key(spec->issuer) : key;
    must(gnutls_x509_crt_sign2(certificate, by, with, GNUTLS_DIG_SHA256, 0) == 0);
    must(gnutls_x509_crt_export2(certificate, GNUTLS_X509_FMT_PEM, &pem) == 0);
    write_file(cert_path(name, "crt"), &pem);
    gnutls_free(pem.data);
    must(gnutls_x509_privkey_export2(key, GNUTLS_X509_FMT_PEM, &pem) == 0);
    write_file(cert_path(name, "key"), &pem);
    gnutls_free(pem.data);
    if (spec->issuer) {
        gnutls_x509_crt_deinit(by);
        gnutls_x509_privkey_deinit(with);
    }
    gnutls_x509_crt_deinit(certificate);
    gnutls_x509_privkey_deinit(key);
}

const char *cert_default(void)
{
    static pid_t made_by;
    if (made_by != getpid()) {
        cert_make("ca", &(cert_spec){.authority = true});
        cert_make("server", &(cert_spec){.issuer = "ca", .ip = "127.0.0.1", .dns = "localhost"});
        made_by = getpid();
    }
    return "server";
}

size_t cert_args(const char *argv[])
{
    if (!cert_tls())
        return 0;
    argv[0] = "--tls-cert";
    argv[1] = cert_path(cert_default(), "crt");
    argv[2] = "--tls-key";
    argv[3] = cert_path(cert_default(), "key");
    return 4;
}
