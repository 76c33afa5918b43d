
ByJ×H­HÄANÎP#ÍÉöË=G
AÁNÌÉ±N3Å¨L