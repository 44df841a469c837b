//! What follows each opcode: the data that `docs/formats/x86-64-lengths.md` makes part of the format.
//!
//! A row is sixteen opcodes; a letter says what comes after the opcode's last byte:
//!
//! | letter | what follows |
//! |---|---|
//! | `.` | nothing |
//! | `m` | ModRM and what it asks for (SIB, displacement) |
//! | `c` | one ModRM byte that always names registers, whatever its upper two bits |
//! | `b` `w` | one byte; two bytes |
//! | `z` | 2 bytes under an operand size of 16 bits, otherwise 4 |
//! | `v` | 8 bytes under REX.W, 2 under an operand size of 16 bits, otherwise 4 |
//! | `o` | an address of 8 bytes, of 4 under the prefix 67 |
//! | `e` | 3 bytes |
//! | `r` | 4 bytes, a branch relative to the next instruction, whatever the operand size |
//! | `B` `Z` | as `m`, then as `b` or `z` |
//! | `F` | as `m`, then 4 bytes |
//! | `t` `T` | as `m`; as `B` or `Z` where the ModRM's middle field is 0 or 1 |
//! | `q` | as `m`; after the prefix 66 or F2 two bytes more |
//! | `P` `R` | a prefix; a REX prefix |
//! | `E` | the next byte is an opcode of another table |
//! | `2` `3` `4` `X` | the prefix C5, C4 or 62 of a vector instruction; POP or the prefix 8F of one |
//! | `x` | no instruction of 64-bit mode |

/// Opcodes of one byte.
pub(super) const ONE: [u8; 256] = table([
    //0123456789abcdef
    b"mmmmbzxxmmmmbzxE", // 0
    b"mmmmbzxxmmmmbzxx", // 1
    b"mmmmbzPxmmmmbzPx", // 2
    b"mmmmbzPxmmmmbzPx", // 3
    b"RRRRRRRRRRRRRRRR", // 4
    b"................", // 5
    b"xx4mPPPPzZbB....", // 6
    b"bbbbbbbbbbbbbbbb", // 7
    b"BZxBmmmmmmmmmmmX", // 8
    b"..........x.....", // 9
    b"oooo....bz......", // a
    b"bbbbbbbbvvvvvvvv", // b
    b"BBw.32BZe.w..bx.", // c
    b"mmmmxxx.mmmmmmmm", // d
    b"bbbbbbbbrrxb....", // e
    b"P.PP..tT......mm", // f
]);

/// Opcodes after 0F. 38 and 3A lead to the two tables that need no rows: every opcode there is `m` or `B`.
pub(super) const TWO: [u8; 256] = table([
    //0123456789abcdef
    b"mmmmx.....x.xm.B", // 0
    b"mmmmmmmmmmmmmmmm", // 1
    b"ccccxxxxmmmmmmmm", // 2
    b"......x.ExExxxxx", // 3
    b"mmmmmmmmmmmmmmmm", // 4
    b"mmmmmmmmmmmmmmmm", // 5
    b"mmmmmmmmmmmmmmmm", // 6
    b"BBBBmmm.qmxxmmmm", // 7
    b"rrrrrrrrrrrrrrrr", // 8
    b"mmmmmmmmmmmmmmmm", // 9
    b"...mBmmm...mBmmm", // a
    b"mmmmmmmmmmBmmmmm", // b
    b"mmBmBBBm........", // c
    b"mmmmmmmmmmmmmmmm", // d
    b"mmmmmmmmmmmmmmmm", // e
    b"mmmmmmmmmmmmmmmm", // f
]);

/// Opcodes of map 1 under the prefixes C5, C4 and 62.
pub(super) const VECTOR: [u8; 256] = table([
    //0123456789abcdef
    b"mmmmmmmmmmmmmmmm", // 0
    b"mmmmmmmmmmmmmmmm", // 1
    b"mmmmmmmmmmmmmmmm", // 2
    b"mmmmmmmmmmmmmmmm", // 3
    b"mmmmmmmmmmmmmmmm", // 4
    b"mmmmmmmmmmmmmmmm", // 5
    b"mmmmmmmmmmmmmmmm", // 6
    b"BBBBmmm.mmmmmmmm", // 7
    b"mmmmmmmmmmmmmmmm", // 8
    b"mmmmmmmmmmmmmmmm", // 9
    b"mmmmmmmmmmmmmmmm", // a
    b"mmmmmmmmmmmmmmmm", // b
    b"mmBmBBBmmmmmmmmm", // c
    b"mmmmmmmmmmmmmmmm", // d
    b"mmmmmmmmmmmmmmmm", // e
    b"mmmmmmmmmmmmmmmm", // f
]);

const fn table(rows: [&[u8; 16]; 16]) -> [u8; 256] {
    let mut letters = [0; 256];
    let mut opcode = 0;
    while opcode < 256 {
        letters[opcode] = rows[opcode / 16][opcode % 16];
        opcode += 1;
    }
    letters
}
