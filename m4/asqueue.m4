# asqueue.m4: what configure.ac needs beyond Autoconf and pkg.m4.

# ASQ_ADD_CFLAG(VARIABLE, FLAG...)
# Appends each flag that the compiler takes without complaint. VARIABLE is always one of our own,
# because CFLAGS and LDFLAGS belong to the user.
AC_DEFUN([ASQ_ADD_CFLAG], [
  m4_foreach_w([asq_flag], [$2], [
    AS_VAR_PUSHDEF([asq_cv], [asq_cv_cflag_[]asq_flag])
    AC_CACHE_CHECK([whether $CC accepts asq_flag], [asq_cv], [
      asq_save_CFLAGS=$CFLAGS
      CFLAGS="$CFLAGS -Werror asq_flag"
      AC_COMPILE_IFELSE([AC_LANG_PROGRAM([], [])],
                        [AS_VAR_SET([asq_cv], [yes])], [AS_VAR_SET([asq_cv], [no])])
      CFLAGS=$asq_save_CFLAGS
    ])
    AS_VAR_IF([asq_cv], [yes], [AS_VAR_APPEND([$1], [" asq_flag"])])
    AS_VAR_POPDEF([asq_cv])
  ])
])

# ASQ_TRY_LINK(CFLAGS, LDFLAGS, IF-OK, IF-NOT)
# Compiles and links a program with the flags added: a sanitizer counts as present only when its
# run-time library is there too.
AC_DEFUN([ASQ_TRY_LINK], [
  asq_save_CFLAGS=$CFLAGS asq_save_LDFLAGS=$LDFLAGS
  CFLAGS="$CFLAGS $1"
  LDFLAGS="$LDFLAGS $2"
  AC_LINK_IFELSE([AC_LANG_PROGRAM([], [])], [asq_linked=yes], [asq_linked=no])
  CFLAGS=$asq_save_CFLAGS LDFLAGS=$asq_save_LDFLAGS
  AS_IF([test "$asq_linked" = yes], [$3], [$4])
])

# ASQ_SANITIZER(NAME, VALUE, DESCRIPTION)
# --enable-NAME adds -fsanitize=VALUE to SAN_CFLAGS and SAN_LDFLAGS.
AC_DEFUN([ASQ_SANITIZER], [
  AC_ARG_ENABLE([$1], [AS_HELP_STRING([--enable-$1], [$3])], [], [enable_$1=no])
  AS_IF([test "$enable_$1" != no], [
    AC_MSG_CHECKING([whether programs link with -fsanitize=$2])
    ASQ_TRY_LINK([$SAN_CFLAGS -fsanitize=$2], [$SAN_LDFLAGS -fsanitize=$2],
      [AC_MSG_RESULT([yes])],
      [AC_MSG_RESULT([no])
       AC_MSG_FAILURE([--enable-$1: $CC cannot link a program with -fsanitize=$2
(does its run-time library lack, or does another --enable option exclude it?)])])
    SAN_CFLAGS="$SAN_CFLAGS -fsanitize=$2 -fno-omit-frame-pointer"
    SAN_LDFLAGS="$SAN_LDFLAGS -fsanitize=$2"
  ])
])

# ASQ_MISSING(WHAT, DEBIAN, FEDORA, ALPINE)
# Notes a dependency that was not found. configure goes on, so that ASQ_REQUIRE_ALL can name all
# of them at once.
AC_DEFUN([ASQ_MISSING], [
  AS_VAR_APPEND([asq_missing], ["
  $1:
      Debian, Ubuntu   $2
      Fedora           $3
      Alpine           $4"])
  AS_VAR_APPEND([asq_missing_debian], [" $2"])
])

# ASQ_REQUIRE_ALL
AC_DEFUN([ASQ_REQUIRE_ALL], [
  AS_IF([test -n "$asq_missing"], [
    AC_MSG_ERROR([something to install first. Missing, with the package that has it:
$asq_missing

On Debian and Ubuntu: apt-get install$asq_missing_debian])
  ])
])

# ASQ_PKG(VARIABLE, MODULE, WHAT, DEBIAN, FEDORA, ALPINE)
# A required library that has a .pc file.
AC_DEFUN([ASQ_PKG], [
  PKG_CHECK_MODULES([$1], [$2], [], [ASQ_MISSING([$3], [$4], [$5], [$6])])
])
