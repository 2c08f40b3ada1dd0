//! What stewards accept of what values say: enums and unions.

mod enums;
mod unions;
