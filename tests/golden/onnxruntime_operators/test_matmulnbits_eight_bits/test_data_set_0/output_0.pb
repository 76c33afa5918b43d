BMatMulNBits_0_0J`ÑãrC0”µCüJÀÁo\=DHœ
DyW!Dj¡yÄ¥WB§ÔÛC‰p@CÄ†˜DØÙòBb±IÃ·º»Â•ö¡Aò¬½ÃJ·"ÂkbaD‡ÄÃ7>¿Â·ÂÈÎÃ3ïCßÒYC